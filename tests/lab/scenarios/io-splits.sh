# Writes of b that the disk below takes in parts of KB, perhaps with a limit of I/Os.
: ${KB=64} ${WIOPS=} ${IOS=60}
make_cgroup a; make_cgroup b; disk_file 128 on
echo $KB > /sys/block/vdc/queue/max_sectors_kb
set_limit b io.max "${WIOPS:+254:32 wiops=$WIOPS}"; trace_on loop0 vdc
job a read-a --rw=randread --bs=128k --iodepth=1 --size=64M --number_ios=$IOS & first=$!
job b write-b --rw=randwrite --bs=256k --iodepth=1 --size=64M --offset=64M \
  --number_ios=$IOS
wait $first; trace_off
