# One recording by four tracers at once: run by hand, kept in field_cases/four-tracers-6.1.
T=/sys/kernel/tracing/instances/lab
until_recording() { for i in $(seq 300); do grep -q ^Recording $1.err && return; sleep 0.1; done; echo "$1 never recorded"; }
mkdir -p $CG/a $CG/b
replay record nullb0 -o kernel.d 2> kernel.err & K=$!; until_recording kernel
replay record nullb0 --with bpf -o bpf.d 2> bpf.err & B=$!; until_recording bpf
mkdir $T; echo mono > $T/trace_clock; echo 4096 > $T/buffer_size_kb; echo 1 > $T/events/block/enable
perf record -q -e 'block:*' -a -k CLOCK_MONOTONIC -o /tmp/perf.data sleep 1000 > perf.log 2>&1 & P=$!
sleep 5
in_cgroup a fio --name=w --filename=/dev/nullb0 --rw=randwrite --bs=4k --size=1M --io_size=400k --direct=1 --ioengine=libaio --iodepth=4 --randseed=7 --output=/dev/null
in_cgroup b fio --name=r --filename=/dev/nullb0 --rw=read --bs=64k --size=1M --direct=1 --output=/dev/null
sleep 2
echo 0 > $T/events/block/enable
kill -INT $(pidof perf); wait $P
kill -INT $K; wait $K; kill -INT $B; wait $B
cat $T/trace > ftrace.txt; perf script -i /tmp/perf.data --ns > perf.txt 2>> perf.log
