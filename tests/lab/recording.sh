# What the scripts of `replay record` have in common; it stands before each of them.
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
