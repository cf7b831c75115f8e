# Two random readers; with RATE, iocost gives them so many reads a second by weight.
: ${RATE=} ${A=100} ${B=300} ${IOS=3000}
make_cgroup a; make_cgroup b; disk_file 256 on
if [ -n "$RATE" ]; then
  model="rbps=1000000000 rseqiops=$RATE rrandiops=$RATE"
  model="$model wbps=1000000000 wseqiops=$RATE wrandiops=$RATE"
  echo "254:32 ctrl=user model=linear $model" > $CG/io.cost.model
  echo "254:32 enable=1 ctrl=user rpct=0 rlat=0 wpct=0 wlat=0 min=100 max=100" \
    > $CG/io.cost.qos
  echo $A > $CG/a/io.weight; echo $B > $CG/b/io.weight
fi
trace_on loop0 vdc
job a read-a --rw=randread --bs=4k --iodepth=16 --size=64M --number_ios=$IOS & first=$!
job b read-b --rw=randread --bs=4k --iodepth=16 --size=64M --offset=64M \
  --number_ios=$IOS
wait $first; cat $CG/a/io.stat $CG/b/io.stat; trace_off
