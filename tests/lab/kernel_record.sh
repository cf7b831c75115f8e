# `replay record` by the kernel itself in the guest: what it records, how it ends.
mkdir -p $CG/a $CG/p/b; echo "+memory +io" > $CG/p/cgroup.subtree_control
echo 64M > $CG/p/memory.max; echo "7:0 wbps=104857600" > $CG/p/b/io.max
tmpfs_loop 64M

# Ctrl-C; cgroups that are there for one write
start short loop0
write a loop0 8 0; write p/b loop0 4 8
for i in 1 2 3 4 5; do mkdir $CG/s$i; write s$i loop0 1 12; rmdir $CG/s$i; done
kill -INT $RECORDER; wait $RECORDER; after short $?

# killed: its guard ends the trace
start killed loop0
write a loop0 1 0; kill -KILL $RECORDER; wait $RECORDER; sleep 5; after killed $?

# killed together with the guard: the next one ends the trace
start both loop0
write a loop0 1 0
kill -KILL $RECORDER $(ps -o pid,args | grep '[r]ecorders/guard.py' | awk '{print $1}')
wait $RECORDER; sleep 2; after both $?
replay record loop0 -o again --seconds 1 2> again.err; after again $?

# two at once: the option is what it was when the last one ends
start first loop0; FIRST=$RECORDER
start second nullb0
kill -INT $FIRST; wait $FIRST; after first $?
kill -INT $RECORDER; wait $RECORDER; after second $?

# a command that runs longer than it is recorded
replay record loop0 --seconds 2 -o timed -- sleep 1000 2> timed.err; after timed $?

# somebody else traces the device
blktrace -d /dev/loop0 -D other > other.log 2>&1 & OTHER=$!; sleep 3
replay record loop0 -o busy 2> busy.err; after busy $?; kill -INT $OTHER; wait $OTHER

# a command; FUA writes and write-zeroes, which version 7 does not have
replay record vdc -o zeroes -- sh -c '/usr/bin/blkdiscard -f -z -l 1M /dev/vdc; fio --name=w --filename=/dev/vdc --rw=write --bs=4k --size=64k --offset=8M --direct=1 --sync=1 --output=/dev/null; exit 5' 2> zeroes.err
echo $? > zeroes.after

# as fast as it can, with default buffers
replay record nullb0 -o fast -- fio --name=r --filename=/dev/nullb0 --rw=randread --bs=4k --direct=1 --ioengine=libaio --iodepth=32 --numjobs=2 --time_based --runtime=4 --group_reporting --output=fast.fio 2> fast.err
echo "$? $(awk '{print $1}' /sys/block/nullb0/stat)" > fast.after
du -k fast > fast.size; replay info fast --json > fast.json 2> fast.info.err
rm -f fast/*.blktrace.*

# by bpftrace
if [ -x /usr/bin/bpftrace ]; then
  replay record loop0 --with bpf -o bpf -- sh -c "echo \$\$ > $CG/a/cgroup.procs; dd if=/dev/zero of=/dev/loop0 bs=64k count=16 oflag=direct" 2> bpf.err
  echo $? > bpf.after
  # a partition of vdc: 8 MiB from 1 MiB on; what is written beside it is not its own
  printf '\0\0\0\0\203\0\0\0\0\010\0\0\0\100\0\0' | dd of=/dev/vdc bs=1 seek=446 conv=notrunc
  printf '\125\252' | dd of=/dev/vdc bs=1 seek=510 conv=notrunc
  blockdev --rereadpt /dev/vdc; sleep 1
  replay record vdc1 --with bpf -o part -- sh -c "dd if=/dev/zero of=/dev/vdc1 bs=64k count=4 oflag=direct; dd if=/dev/zero of=/dev/vdc bs=64k count=2 seek=200 oflag=direct" 2> part.err
  echo $? > part.after
fi
