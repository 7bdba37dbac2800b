#!/usr/bin/env bash
# Kills a Linux guest that is writing, again and again, on images of every format, and looks at what is left.
#
#   APUS_GUESTS=FOLDER Tests/Guests/kill.sh [options]
#
#   --formats "A B"   qcow2 vdi vhd vhdx vmdk raw unless given
#   --kills N         for each format (5)
#   --apus FILE       the program (default: the release build of this package)
#   --seed N          other times (1)
#   --keep FOLDER     where an image with which something failed is put, and what the guest told
#   --work FOLDER     where images are made (a folder of its own below /tmp, which is removed)
#
# FOLDER/deb has disk.img (Debian on the first partition, ext4), vmlinuz and initrd.img, as debian.sh makes them. The guest has a second
# partition with FAT, writes files
# on both, calls sync, and tells their check sums; at a random time the program is killed with -9. What holds then: `apus image check` and
# qemu-img check find nothing corrupt; e2fsck only replays its journal; fsck.fat finds at most what a FAT that was cut off has, lost clusters
# and counts; every file that was told of before the last sync is there, whole. The guest needs dosfstools, the
# host e2fsprogs, dosfstools, mtools, fdisk; qemu-img if there.
set -u
here=$(cd "$(dirname "$0")/../.." && pwd)
formats="qcow2 vdi vhd vhdx vmdk raw" kills=5 seed=1 work= keep=
apus=$here/.build/release/apus
while [ $# -gt 0 ]; do
  case $1 in
    --formats) formats=$2 ;; --kills) kills=$2 ;; --apus) apus=$2 ;; --seed) seed=$2 ;; --work) work=$2 ;; --keep) keep=$2 ;;
    *) echo "unknown option: $1" >&2; exit 64 ;;
  esac
  shift 2
done
deb=${APUS_GUESTS:-}/deb
for file in disk.img vmlinuz initrd.img; do
  [ -f "$deb/$file" ] || { echo "skipped: APUS_GUESTS has no deb/$file"; exit 0; }
done
for tool in e2fsck debugfs mkfs.fat fsck.fat mcopy sfdisk; do
  command -v $tool >/dev/null || { echo "skipped: $tool is not installed"; exit 0; }
done
[ -x "$apus" ] || { echo "skipped: no program $apus"; exit 0; }
command -v qemu-img >/dev/null || echo "qemu-img is not installed: its check is left out"
if [ -z "$work" ]; then work=$(mktemp -d); trap 'rm -rf "$work"' EXIT; fi
mkdir -p "$work"; cd "$work" || exit 1
RANDOM=$seed
failures=0 done=0
fail() { echo "FAILED: $format, kill $n: $*"; failures=$((failures + 1)); bad=1; }

# The disk with a second partition of 64 MiB.
start=$(sfdisk -d "$deb/disk.img" | sed -n 's/.*img1 *: start= *\([0-9]*\), size= *\([0-9]*\).*/\1 \2/p')
first=${start% *} size=${start#* }
second=$(((first + size + 2047) / 2048 * 2048))
cp --sparse=always "$deb/disk.img" base.raw
truncate -s $(((second + 131072) * 512)) base.raw
echo "$second,131072,c" | sfdisk -q --append base.raw || exit 1
truncate -s 64M fat.part && mkfs.fat -F 16 fat.part >/dev/null
dd if=fat.part of=base.raw bs=512 seek=$second conv=notrunc,sparse status=none

# What the last kill left of the FAT is mended first: two files that share clusters would lose them to each other later.
script='mount -t proc p /proc; modprobe vfat; fsck.fat -a /dev/sda2 > /dev/null; mount -t vfat /dev/sda2 /mnt; i=0; while true; do i=$((i+1)); dd if=/dev/urandom of=/root/s$i bs=64k count=$((i%20+1)) 2> /dev/null; cp /root/s$i /mnt/S$i; sync; echo SYN"CED" $i $(md5sum /root/s$i); rm -f /root/s$((i-4)) /mnt/S$((i-4)); done'

for format in $formats; do
  image=disk.$format
  rm -f $image
  "$apus" image convert -O $format base.raw $image >/dev/null || { n=0; fail "cannot be made"; continue; }
  for n in $(seq 1 "$kills"); do
    : >out
    "$apus" $image --headless --memory 256 --kernel "$deb/vmlinuz" --initrd "$deb/initrd.img" \
      --append 'root=/dev/sda1 rw init=/bin/sh console=ttyS0 quiet' --serial stdio --speed max --timeout 600 \
      --expect '# ' --within 500 --type-serial "$script<enter>" --expect-line 'never seen' \
      </dev/null >out 2>&1 &
    pid=$!
    # From the first file on, a random while.
    for _ in $(seq 1 3000); do
      grep -aq '^SYNCED 1 ' out && break
      kill -0 $pid 2>/dev/null || break
      sleep 0.2
    done
    if ! grep -aq '^SYNCED 1 ' out; then
      kill -9 $pid 2>/dev/null; wait $pid 2>/dev/null
      fail "the guest did not come so far: $(tail -c 200 out | tr '\n' ' ')"
      break
    fi
    sleep $((RANDOM % 20)).$((RANDOM % 1000))
    kill -9 $pid; wait $pid 2>/dev/null
    bad=
    [ -z "$keep" ] || cp --sparse=always $image killed
    last=$(grep -a '^SYNCED' out | tail -1 | tr -d '\r')
    done=$((done + 1))

    if [ $format != raw ]; then
      "$apus" image check $image >check 2>&1; code=$?
      [ $code = 0 ] || [ $code = 3 ] || fail "apus image check: $code, $(head -3 check | tr '\n' ' ')"
      case $format in
        qcow2 | vdi | vhdx | vmdk)
          if command -v qemu-img >/dev/null; then
            # It does not look into a VHDX whose log is to be replayed, unless it may replay it.
            cp --sparse=always $image theirs
            mends=; [ $format = vhdx ] && mends="-r leaks"
            qemu-img check -f $format $mends theirs >check 2>&1; code=$?
            [ $code = 0 ] || [ $code = 3 ] || fail "qemu-img check: $code, $(head -3 check | tr '\n' ' ')"
            rm -f theirs
          fi ;;
      esac
    fi
    rm -f raw; "$apus" image convert -O raw $image raw >/dev/null || fail "cannot be read"
    dd if=raw of=ext.part bs=1M skip=$((first * 512)) count=$((size * 512)) iflag=skip_bytes,count_bytes conv=sparse status=none
    dd if=raw of=fat.part bs=1M skip=$((second * 512)) count=67108864 iflag=skip_bytes,count_bytes conv=sparse status=none
    e2fsck -fp ext.part >fsck 2>&1; code=$?
    [ $code -le 1 ] || fail "e2fsck: $code, $(tail -3 fsck | tr '\n' ' ')"
    fsck.fat -n fat.part >fsck 2>&1
    grep -Ei 'shared|bad|invalid|start cluster|loop|size.*exceed' fsck | grep -vi 'dirty bit' >bad &&
      fail "fsck.fat: $(head -3 bad | tr '\n' ' ')"
    set -- $last
    rm -f got; debugfs -R "dump /root/s$2 got" ext.part 2>/dev/null
    [ "$(md5sum <got | cut -c1-32)" = "$3" ] || fail "file $2 on ext4 is not what was written and flushed"
    rm -f got; mcopy -n -i fat.part ::S$2 got 2>/dev/null
    [ "$(md5sum <got 2>/dev/null | cut -c1-32)" = "$3" ] || fail "file $2 on FAT is not what was written and flushed"
    echo "$format, kill $n: $2 files flushed before it; looked through"
    if [ -n "$keep" ] && [ -n "$bad" ]; then
      mkdir -p "$keep" && mv killed "$keep/$n.$format" && cp out "$keep/$n.$format.out"
    fi
    rm -f raw ext.part got killed
  done
  rm -f $image
done
echo "$done kills, $failures failures"
[ $failures = 0 ]
