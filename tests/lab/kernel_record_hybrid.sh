# `replay record` by the kernel itself where version 1 controls block I/O.
# NAME.err holds what it said, NAME.after: exit code, option, whether loop0 is traced.
OPTION=/sys/kernel/tracing/options/blk_cgroup
TRACED=/sys/kernel/debug/block/loop0/trace0
until_recording() { # NAME
  for i in $(seq 300); do grep -q ^Recording $1.err && return; sleep 0.1; done
  echo "$1 never recorded"
}
after() { # NAME EXIT
  echo "$2 $(cat $OPTION) $(ls $TRACED 2> /dev/null | wc -l)" > $1.after
}
start() { # NAME DEV...
  name=$1; shift; replay record "$@" -o $name 2> $name.err & RECORDER=$!
  until_recording $name
}
write() { # CGROUP DEVICE MIB FROM_MIB
  in_cgroup $1 dd if=/dev/zero of=/dev/$2 bs=64k count=$(($3 * 16)) seek=$(($4 * 16)) oflag=direct
}

echo "-memory -io" > $CG/cgroup.subtree_control; umount /sys/fs/cgroup
mount -t tmpfs none /sys/fs/cgroup
mkdir -p $CG/blkio $CG/memory $CG/unified
mount -t cgroup -o blkio none $CG/blkio && mount -t cgroup -o memory none $CG/memory
mount -t cgroup2 none $CG/unified
mkdir -p $CG/blkio/v/w $CG/memory/v/w
echo 32M > $CG/memory/v/w/memory.limit_in_bytes
echo "7:0 104857600" > $CG/blkio/v/w/blkio.throttle.write_bps_device
tmpfs_loop 64M
start hybrid loop0
write blkio/v/w loop0 2 0
mkdir $CG/blkio/late; write blkio/late loop0 1 4; rmdir $CG/blkio/late
kill -INT $RECORDER; wait $RECORDER; after hybrid $?
