# A writer may hold LIMIT and writes MIB through the page cache of a new file on ext4:
# reclaim meets its dirty pages and has them written back.
: ${LIMIT=24M} ${MIB=96}
make_cgroup b; mkfs.ext4 -q -F -E lazy_itable_init=0,lazy_journal_init=0 /dev/vdc
mkdir -p /mnt/e; mount -o noatime /dev/vdc /mnt/e; truncate -s 256M /mnt/e/backing; sync
/usr/bin/losetup --direct-io=off /dev/loop0 /mnt/e/backing
set_limit b memory.max "$LIMIT"; trace_on loop0 vdc
job b write-b --rw=write --bs=64k --iodepth=1 --size=${MIB}M
echo "fio: exit $?"
sync; sleep 0.5; trace_off
