# Two readers of a disk that serves one request at a time, each in SERVICE ns: a null
# block device, whose times follow the clock. a has one request in flight and, with
# TARGET us, an io.latency; b has DEPTH. Needs a kernel of build_kernel.sh, and --icount.
: ${TARGET=} ${DEPTH=32} ${SERVICE=2000000} ${IOS_A=500} ${IOS_B=2500}
make_cgroup a; make_cgroup b; mkdir -p /sys/kernel/config
mount -t configfs none /sys/kernel/config
disk=nullb1; null=/sys/kernel/config/nullb/$disk; mkdir $null
for setting in size=128 irqmode=2 completion_nsec=$SERVICE submit_queues=1 \
  hw_queue_depth=1 memory_backed=0; do
  echo ${setting#*=} > $null/${setting%%=*}
done
echo 1 > $null/power
queue=/sys/block/$disk/queue
echo mq-deadline > $queue/scheduler; echo 64 > $queue/nr_requests
# in the order of arrival
echo 1 > $queue/iosched/read_expire; echo 1 > $queue/iosched/fifo_batch
number=$(cat /sys/block/$disk/dev)
[ -z "$TARGET" ] || echo "$number target=$TARGET" > $CG/a/io.latency
echo "$number"; grep . $queue/scheduler $queue/nr_requests $CG/a/io.latency
# both begin when both are ready
printf '#!/bin/sh\nuntil [ -e /tmp/go ]; do sleep 0.1; done\n' > /tmp/ready
chmod +x /tmp/ready
reader() { # CGROUP DEPTH REQUESTS OFFSET
  in_cgroup $1 /usr/bin/fio --name=$1 --filename=/dev/$disk --ioengine=libaio --direct=1 \
    --randseed=42 --rw=randread --bs=4k --iodepth=$2 --size=48M --offset=$4 \
    --number_ios=$3 --exec_prerun=/tmp/ready --output-format=json --output=fio.$1.json
}
trace_on $disk
(sleep 3; touch /tmp/go) &
reader a 1 $IOS_A 0 & first=$!
reader b $DEPTH $IOS_B 64M
wait $first; cat $CG/a/io.stat $CG/b/io.stat; trace_off
