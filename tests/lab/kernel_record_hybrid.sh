# `replay record` by the kernel itself where version 1 controls block I/O.
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
