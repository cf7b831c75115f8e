# Writers a and b on loop0, in direct I/O mode over a file on a file system on loop1,
# which lies over a file on tmpfs, or on the disk (INNER=disk) in direct I/O mode.
: ${INNER=tmpfs} ${IOS=400}
make_cgroup a; make_cgroup b; mkdir -p /mnt/t /mnt/i
if [ $INNER = tmpfs ]; then
  mount -t tmpfs -o size=400M tmpfs /mnt/t; options=
else
  mkfs.ext4 -q -F -E lazy_itable_init=0,lazy_journal_init=0 /dev/vdc
  mount -o noatime /dev/vdc /mnt/t; options=--direct-io=on
fi
if [ $INNER = tmpfs ]; then truncate -s 256M /mnt/t/backing
else dd if=/dev/zero of=/mnt/t/backing bs=1M count=256 2> /dev/null; sync; fi
/usr/bin/losetup $options /dev/loop1 /mnt/t/backing
mkfs.ext4 -q -F -b 4096 -E lazy_itable_init=0,lazy_journal_init=0,nodiscard /dev/loop1
mount -o noatime /dev/loop1 /mnt/i
# its blocks are there; on tmpfs no page of them below is
if [ $INNER = tmpfs ]; then fallocate -l 128M /mnt/i/backing
else dd if=/dev/zero of=/mnt/i/backing bs=1M count=128 2> /dev/null; fi
sync; echo 3 > /proc/sys/vm/drop_caches
/usr/bin/losetup --direct-io=on /dev/loop0 /mnt/i/backing
trace_on loop0 loop1 vdc
job a write-a --rw=randwrite --bs=16k --iodepth=2 --size=48M --number_ios=$IOS & first=$!
job b write-b --rw=randwrite --bs=64k --iodepth=2 --size=48M --offset=64M \
  --number_ios=$IOS
wait $first; trace_off
