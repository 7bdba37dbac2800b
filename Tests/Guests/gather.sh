#!/bin/sh
# Gathers the guests that tests boot, from the Debian packages of this machine, into a folder:
#
#   Tests/Guests/gather.sh FOLDER && APUS_GUESTS=FOLDER swift test -c release -Xswiftc -enable-testing --scratch-path .build/tests
#
# Needs: apt-get, dpkg-deb, cpio, gzip, mtools, dosfstools, syslinux, fdisk (sfdisk); works offline afterwards.
# A guest that cannot be had is named and left out; the tests say what they skip. FreeDOS is in no package: put a bootable
# 1.44 MB image there as freedos.img to have it tested. Nor is UEFI for a PC without SMM: put edk2-i386-code.fd and edk2-i386-vars.fd
# (pc-bios/*.fd.bz2 of QEMU's source package, unpacked) into a folder uefi there; GRUB is made for it here.
set -eu
folder=${1:?usage: gather.sh FOLDER}
mkdir -p "$folder"
folder=$(cd "$folder" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
export DEBIAN_FRONTEND=noninteractive

dpkg --print-foreign-architectures | grep -qx i386 || dpkg --add-architecture i386 2>/dev/null || true
apt-get update >/dev/null 2>&1 || true
for tool in mcopy:mtools mkfs.vfat:dosfstools syslinux:syslinux cpio:cpio sfdisk:fdisk; do
  command -v "${tool%%:*}" >/dev/null 2>&1 || apt-get install -y "${tool##*:}" >/dev/null 2>&1 || true
done

package() { # NAME: unpacks a package below $work/NAME
  mkdir -p "$1" && (cd "$1" && apt-get download "$1" >/dev/null 2>&1 && dpkg-deb -x ./*.deb .) ||
    { echo "not available: $1" >&2; return 1; }
}
take() { # FILE TARGET
  if [ -f "$1" ]; then cp "$1" "$folder/$2" && echo "$folder/$2"; else echo "not found: $1" >&2; fi
}

package grub-rescue-pc && {
  take grub-rescue-pc/usr/lib/grub-rescue/grub-rescue-floppy.img grub-rescue-floppy.img
  take grub-rescue-pc/usr/lib/grub-rescue/grub-rescue-cdrom.iso grub-rescue-cdrom.iso
}
package grub-invaders && take grub-invaders/boot/invaders.exec invaders.exec
package memtest86+ && {
  take "$(find memtest86+ -name '*ia32.bin' | head -1)" memtest86+ia32.bin
  take "$(find memtest86+ -name '*ia32*.iso' | head -1)" memtest86+ia32.iso
}
package ipxe && {
  take "$(find ipxe -name 'ipxe.lkrn' | head -1)" ipxe.lkrn
  take "$(find ipxe -name 'ipxe.iso' | head -1)" ipxe.iso
}

# Linux: the kernel of linux-image-686 and a busybox initramfs whose init greets and starts a shell on the console.
for flavour in 686 686-pae; do
  name=$(apt-cache depends "linux-image-$flavour:i386" 2>/dev/null | sed -n 's/.*Depends: \(linux-image-[^: ]*\).*/\1/p' | head -1)
  [ -n "$name" ] || { echo "not available: linux-image-$flavour" >&2; continue; }
  package "$name:i386" && take "$(find "$name:i386/boot" -name 'vmlinuz-*' | head -1)" "vmlinuz-$flavour"
done
if package busybox-static:i386; then
  mkdir -p root/bin root/dev root/proc root/sys root/etc root/tmp
  cp "$(find busybox-static:i386 -type f -path "*bin/busybox" | head -1)" root/bin/busybox
  cat >root/init <<'INIT'
#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev 2>/dev/null
echo "init: $(uname -srm) up $(cut -d' ' -f1 /proc/uptime)"
if grep -q apus.run /proc/cmdline; then
  . /run.sh
fi
exec setsid -c sh -c 'exec sh </dev/console >/dev/console 2>&1'
INIT
  chmod +x root/init
  (cd root && find . | LC_ALL=C sort | cpio -o -H newc -R 0:0 2>/dev/null | gzip -9n) >"$folder/initramfs.gz"
  echo "$folder/initramfs.gz"
fi

# A 32 MB disk with a FAT partition and syslinux that boots the same kernel through the BIOS.
if [ -f "$folder/vmlinuz-686" ] && [ -f "$folder/initramfs.gz" ] && command -v syslinux >/dev/null 2>&1; then
  disk=$work/disk.img
  truncate -s 32M "$disk"
  printf 'label: dos\nstart=2048, type=c, bootable\n' | sfdisk -q "$disk"
  truncate -s $((32 * 1024 * 1024 - 2048 * 512)) part.img
  mkfs.vfat -F 16 -h 2048 part.img >/dev/null
  mcopy -i part.img "$folder/vmlinuz-686" ::/vmlinuz
  mcopy -i part.img "$folder/initramfs.gz" ::/initrd.gz
  printf 'SERIAL 0 115200\nDEFAULT linux\nPROMPT 0\nLABEL linux\n KERNEL /vmlinuz\n INITRD /initrd.gz\n APPEND console=ttyS0\n' >syslinux.cfg
  mcopy -i part.img syslinux.cfg ::/syslinux.cfg
  syslinux --install part.img
  dd if=part.img of="$disk" bs=512 seek=2048 conv=notrunc 2>/dev/null
  mbr=$(find /usr/lib/syslinux /usr/lib/SYSLINUX -name mbr.bin 2>/dev/null | head -1)
  if [ -n "$mbr" ]; then
    dd if="$mbr" of="$disk" bs=440 count=1 conv=notrunc 2>/dev/null
    take "$disk" syslinux-linux.img
  else
    echo "not found: mbr.bin" >&2
  fi
fi

# GRUB for UEFI, on a disk with an MBR and on a CD.
if package grub-efi-ia32-bin && command -v grub-mkstandalone >/dev/null && command -v grub-mkrescue >/dev/null; then
  modules=$PWD/grub-efi-ia32-bin/usr/lib/grub/i386-efi
  mkdir -p "$folder/uefi" rescue/boot/grub
  cat >rescue/boot/grub/grub.cfg <<'CFG'
serial --unit=0 --speed=115200
terminal_input console serial
terminal_output console serial
echo GRUB-EFI-UP from $grub_platform $grub_cpu
set timeout=3
menuentry "first" { echo CHOSEN; sleep 5; reboot }
CFG
  grub-mkrescue -d "$modules" -o "$folder/uefi/grub-efi.iso" rescue >/dev/null 2>&1 && echo "$folder/uefi/grub-efi.iso"
  grub-mkstandalone -O i386-efi -d "$modules" -o BOOTIA32.EFI boot/grub/grub.cfg=rescue/boot/grub/grub.cfg
  truncate -s 64M esp.img
  echo '2048,,ef,*' | sfdisk -q esp.img
  mkfs.vfat --offset 2048 -F 16 esp.img $((63 * 1024)) >/dev/null
  mmd -i esp.img@@1M ::/EFI ::/EFI/BOOT
  mcopy -i esp.img@@1M BOOTIA32.EFI ::/EFI/BOOT/
  take esp.img uefi/esp.img
fi
