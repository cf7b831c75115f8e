# `replay record --with blktrace` in the guest: what it records, how it ends, what it refuses.
# NAME.err holds what it said, NAME.after: exit code, option, blktraces that still run.
OPTION=/sys/kernel/tracing/options/blk_cgroup
until_recording() { # NAME
  for i in $(seq 300); do grep -q ^Recording $1.err && return; sleep 0.1; done
  echo "$1 never recorded"
}
after() { # NAME EXIT
  echo "$2 $(cat $OPTION) $(ps | grep -c '[b]lktrace -b')" > $1.after
}
start() { # NAME DEV...
  name=$1; shift; replay record "$@" --with blktrace -o $name 2> $name.err & RECORDER=$!
  until_recording $name
}
write() { # CGROUP DEVICE MIB FROM_MIB
  in_cgroup $1 dd if=/dev/zero of=/dev/$2 bs=64k count=$(($3 * 16)) seek=$(($4 * 16)) oflag=direct
}

mkdir -p $CG/a $CG/p/b; echo "+memory +io" > $CG/p/cgroup.subtree_control
echo 64M > $CG/p/memory.max; echo 0 > $CG/p/memory.swap.max
echo 300 > $CG/p/b/io.weight; echo "7:0 wbps=104857600" > $CG/p/b/io.max
tmpfs_loop 64M; disk_loop 32
sleep 1000 & SLEEPER=$!
echo $SLEEPER > $CG/p/b/cgroup.procs; echo 500 > /proc/$SLEEPER/oom_score_adj

# Ctrl-C; a cgroup comes and goes while it records
start interrupted loop0
write a loop0 8 0; write p/b loop0 4 8
mkdir $CG/late; write late loop0 1 12; sleep 2; rmdir $CG/late
kill -INT $RECORDER; wait $RECORDER; after interrupted $?
replay cgroups > live.toml

# SIGTERM; two devices, one above the other; the option was on already
echo 1 > $OPTION; start terminated loop1 /dev/vdc
write a loop1 2 0; write p/b loop1 1 4
kill -TERM $RECORDER; wait $RECORDER; after terminated $?; echo 0 > $OPTION

# killed outright; then the device is free for another recording
start killed loop0
write a loop0 1 0; kill -KILL $RECORDER; wait $RECORDER; sleep 3; after killed $?
replay record loop0 -o again --seconds 1 2> again.err; after again $?

# somebody else traces the device
blktrace -d /dev/loop0 -D other > other.log 2>&1 & OTHER=$!; sleep 2
replay record loop0 --with blktrace -o busy 2> busy.err; after busy $?; kill -INT $OTHER; wait $OTHER

# what is missing
umount /sys/kernel/tracing; umount /sys/kernel/debug; umount /sys/fs/cgroup
PATH=/bin /usr/bin/replay record loop9 /dev/null --with blktrace -o missing 2> missing.err
echo $? > missing.after
kill $SLEEPER
