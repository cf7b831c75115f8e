# A running blktrace piped into `replay convert -` in the guest, beside what it wrote.
until_traced() { # the kernel has its buffers, and blktrace reads them
  for i in $(seq 300); do [ -e /sys/kernel/debug/block/loop0/trace0 ] && break; sleep 0.1; done
  sleep 2
}
mkdir -p $CG/a $CG/p/b; echo "+memory +io" > $CG/p/cgroup.subtree_control
tmpfs_loop 64M
(cd $CG && find . -type d | while read -r d; do
  p=${d#.}; echo "$(stat -c %i "$d") ${p:-/}"
done) > ids
echo 1 > /sys/kernel/tracing/options/blk_cgroup
# the first cannot be told from a set: two CPUs write into one stream, in chunks
blktrace -d /dev/loop0 -o - 2> blktrace.err | tee stream \
  | replay convert - -o live.arrow --cgroups ids 2> convert.err &
CONVERT=$!
until_traced
for i in 1 2 3 4; do
  in_cgroup a dd if=/dev/zero of=/dev/loop0 bs=64k count=16 seek=$((i * 16)) oflag=direct &
  in_cgroup p/b dd if=/dev/zero of=/dev/loop0 bs=4k count=64 seek=$((8192 + i * 64)) oflag=direct &
  sleep 2
done
sleep 2
kill -INT $(pidof blktrace)
wait $CONVERT; echo $? > convert.after
for cgroup in a p/b; do cat $CG/$cgroup/io.stat > $(echo $cgroup | tr / _).io.stat; done
# a stream that ends by itself, by the format's name, from the device file
blktrace -d /dev/loop0 -w 20 -o - 2> timed.err \
  | replay convert /dev/stdin --format blktrace -o timed.arrow 2> timed.convert.err &
TIMED=$!
until_traced; in_cgroup a dd if=/dev/zero of=/dev/loop0 bs=64k count=4 oflag=direct
wait $TIMED; echo $? > timed.after
echo 0 > /sys/kernel/tracing/options/blk_cgroup
