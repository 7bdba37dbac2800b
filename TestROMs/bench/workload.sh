# The Linux workloads, each announced when it begins: workload.sh NAME...
# BUSYBOX is the program that does the work; WORK a folder for files.
B=${BUSYBOX:-/bin/busybox}
W=${WORK:-/tmp}
for piece; do
  echo "bench: mark $piece"
  case $piece in
  gzip)
    $B seq 1 1400000 | $B head -c 10000000 >$W/plain
    $B gzip -c $W/plain >$W/packed
    $B gunzip -c $W/packed | $B cmp - $W/plain && echo "bench: sum gzip $($B md5sum <$W/plain)"
    $B rm -f $W/plain $W/packed
    ;;
  shell)
    i=0 s=0
    while [ $i -lt 200000 ]; do
      i=$((i + 1))
      s=$(((s * 5 + i) % 65537))
    done
    echo "bench: sum shell $s"
    ;;
  fork)
    i=0
    while [ $i -lt 400 ]; do
      $B true
      i=$((i + 1))
    done
    echo "bench: sum fork $i"
    ;;
  pipe)
    echo "bench: sum pipe $($B dd if=/dev/zero bs=65536 count=1220 2>/dev/null | $B cat | $B wc -c)"
    ;;
  esac
done
echo "bench: mark end"
