# What the scenarios share; runs in the guest's /tmp/out, which becomes the recording.
make_cgroup() { mkdir -p $CG/$1; }
delegate() { echo "+memory +io" > $CG/$1/cgroup.subtree_control; }
set_limit() { # CGROUP FILE VALUE: left alone if the value is empty
  [ -z "$3" ] || echo "$3" > $CG/$1/$2
}
counters() { # begin|end: every cgroup's files, and the id of every path
  : > ids
  (cd $CG && find . -type d) | while read -r found; do
    path=${found#.}; name=$(echo "${path#/}" | sed 's#/#__#g')
    folder=$1/${name:-root}; mkdir -p $folder
    echo "$(stat -c %i $CG$path) ${path:-/}" >> ids
    for file in memory.current memory.peak memory.events memory.stat memory.max \
      memory.high memory.swap.max io.stat io.max io.weight; do
      [ ! -f $CG$path/$file ] || cat $CG$path/$file > $folder/$file
    done
  done
  ps > $1/ps
}
trace_on() { # DEV...
  counters begin
  echo 1 > /sys/kernel/tracing/options/blk_cgroup
  for device in "$@"; do
    blktrace -b 2048 -n 8 -d /dev/$device -o $device > blktrace.$device.log 2>&1 &
    tracers="$tracers $!"
  done
  sleep 1
}
trace_off() {
  counters end; sleep 0.3
  for tracer in $tracers; do kill -INT $tracer; done
  for tracer in $tracers; do wait $tracer; done
}
direct_dd() { # CGROUP DD_OPTION...
  group=$1; shift
  in_cgroup $group dd if=/dev/zero of=/dev/loop0 conv=notrunc oflag=direct "$@"
  echo "dd in $group: exit $?"
}
job() { # CGROUP NAME FIO_OPTION...
  group=$1 name=$2; shift 2
  in_cgroup $group /usr/bin/fio --name=$name --filename=/dev/loop0 --ioengine=libaio \
    --direct=1 --randseed=42 "$@" --output-format=json --output=fio.$name.json
}
disk_file() { # MIB on|off: /dev/loop0 over a written file on /dev/vdc, direct or not
  mkfs.ext4 -q -F -E lazy_itable_init=0,lazy_journal_init=0 /dev/vdc
  mkdir -p /mnt/e; mount -o noatime /dev/vdc /mnt/e
  dd if=/dev/zero of=/mnt/e/backing bs=1M count=$1 2> /dev/null; sync
  echo 3 > /proc/sys/vm/drop_caches
  /usr/bin/losetup --direct-io=$2 /dev/loop0 /mnt/e/backing
}
