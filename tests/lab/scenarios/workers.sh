# Small writes of a beside large ones of b; with IO=off all run on the root's worker.
: ${IO=on} ${SMALL=3000} ${LARGE=1000}
make_cgroup a; make_cgroup b; tmpfs_loop 512M
[ $IO = on ] || echo -io > $CG/cgroup.subtree_control
trace_on loop0
job b large-b --rw=write --bs=256k --iodepth=8 --size=250M --number_ios=$LARGE & first=$!
job a small-a --rw=randwrite --bs=4k --iodepth=1 --size=16M --offset=256M \
  --number_ios=$SMALL
wait $first; trace_off
