# Two writers on a disk that runs bfq and serves one request at a time, each in SERVICE
# ns: a null block device. Weights A and B.
: ${A=100} ${B=300} ${IOS=300} ${SERVICE=4000000}
make_cgroup a; make_cgroup b; mkdir -p /sys/kernel/config
mount -t configfs none /sys/kernel/config
disk=nullb1; null=/sys/kernel/config/nullb/$disk; mkdir $null
for setting in size=128 irqmode=2 completion_nsec=$SERVICE submit_queues=1 \
  hw_queue_depth=1 memory_backed=0; do
  echo ${setting#*=} > $null/${setting%%=*}
done
echo 1 > $null/power
echo bfq > /sys/block/$disk/queue/scheduler
echo 64 > /sys/block/$disk/queue/nr_requests
echo 0 > /sys/block/$disk/queue/iosched/low_latency
echo $A > $CG/a/io.bfq.weight; echo $B > $CG/b/io.bfq.weight
grep . /sys/block/$disk/dev /sys/block/$disk/queue/scheduler \
  /sys/block/$disk/queue/nr_requests $CG/?/io.bfq.weight
/usr/bin/losetup --direct-io=on /dev/loop0 /dev/$disk
# both begin when both are ready
printf '#!/bin/sh\nuntil [ -e /tmp/go ]; do sleep 0.1; done\n' > /tmp/ready
chmod +x /tmp/ready
trace_on loop0 $disk
(sleep 8; touch /tmp/go) &
job a write-a --rw=randwrite --bs=64k --iodepth=16 --size=48M --number_ios=$IOS \
  --exec_prerun=/tmp/ready & first=$!
job b write-b --rw=randwrite --bs=64k --iodepth=16 --size=48M --offset=64M \
  --number_ios=$IOS --exec_prerun=/tmp/ready
wait $first; trace_off
