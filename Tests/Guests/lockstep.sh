#!/usr/bin/env bash
# Boots everything it finds in lockstep: interpreter and translated code side by side, the first difference is told.
#
#   Tests/Guests/lockstep.sh [options] [FOLDER|FILE...]
#
#   --hash         in place of lockstep: each engine alone, the translator twice, and a state saved half-way under one engine and
#                  continued under the other; all five must end with the same hash of the machine's state
#   --keep FILE    in place of lockstep: writes to FILE how each guest ended, with the hash of each part of the machine
#   --check FILE   runs the same and compares with FILE: what a change of the program's inside must leave as it was. A guest that
#                  is not here is named and left out
#   --max N        instructions of each guest at most (default 4000000000; --hash 1000000000; --keep, --check 300000000)
#   --seconds N    seconds for each guest at most (default 600)
#   --only TEXT    only guests whose name contains it
#   --apus FILE    the program (default: the release build of this package)
#   --options TEXT further options for all guests, say "--cpu 486"
#
# Without a folder: the test ROMs, the demo disk and, when set, $APUS_GUESTS. A folder may hold:
#   vmlinuz* with initramfs.gz   Linux, from --kernel to a shell on COM1
#   *.lkrn, *.exec, memtest*.bin, *.flat   kernels
#   test386.bin                  a BIOS that tests the processor
#   *.img, *.flp, *.ima          floppies and disks; nothing is written to them
# Known ones are also typed at. Exit code 0: no difference. Guests may end as they like, they are not judged.
set -u
cd "$(dirname "$0")/../.."
mode=lockstep kept= max= seconds=600 only= apus= options=()
folders=()
while [ $# -gt 0 ]; do
  case "$1" in
    --hash) mode=hash; shift ;;
    --keep) mode=keep; kept=$2; shift 2 ;;
    --check) mode=check; kept=$2; shift 2 ;;
    --max) max=$2; shift 2 ;;
    --seconds) seconds=$2; shift 2 ;;
    --only) only=$2; shift 2 ;;
    --apus) apus=$2; shift 2 ;;
    --options) read -r -a options <<< "$2"; shift 2 ;;
    -*) sed -n '2,/^set/{/^#/s/^# \{0,1\}//p}' "$0"; exit 64 ;;
    *) folders+=("$1"); shift ;;
  esac
done
if [ -z "$apus" ]; then apus=$(swift build -c release --show-bin-path)/apus; fi
[ -x "$apus" ] || { echo "no $apus: swift build -c release --product apus"; exit 74; }
case "$mode" in
  hash) max=${max:-1000000000} ;;
  keep) max=${max:-300000000}; : > "$kept" || exit 74 ;;
  check) max=${max:-300000000}; [ -r "$kept" ] || { echo "no $kept"; exit 74; } ;;
  *) max=${max:-4000000000} ;;
esac
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0 count=0

# try NAME OPTIONS...: one guest.
try() {
  local name=$1 start code
  shift
  case "$name" in *"$only"*) ;; *) return ;; esac
  count=$((count + 1))
  start=$(date +%s)
  # The same on every machine: without the folder.
  key=$name
  case "$name" in /*) key=$(basename "$name") ;; esac
  "$mode" "$@"
  code=$?
  if grep -q "^exit code 64" "$work/words"; then
    echo "skipped  $name: $(tail -1 "$work/words")"
  elif [ $code -eq 0 ]; then
    echo "same     $name ($(($(date +%s) - start)) s; $(cat "$work/words"))"
  else
    failed=$((failed + 1))
    echo "DIFFERS  $name: $apus --headless --snapshot ${options[*]} $*"
    sed 's/^/    /' "$work/words"
  fi
}

field() { sed -n "s/.*\"$1\": *\"\{0,1\}\([^,\"}]*\).*/\1/p" "$2" | head -1; }

lockstep() {
  timeout $((seconds + 60)) "$apus" --headless --snapshot --engine lockstep "${options[@]}" "$@" \
    --max-instructions "${limit:-$max}" --timeout "$seconds" --json > "$work/out" 2> "$work/err" < /dev/null
  local code=$?
  # 12: the engines differ. Without a report the program has not ended as it should, which no guest may bring about.
  if [ $code -eq 12 ] || ! grep -q stateHash "$work/out"; then
    { echo "exit code $code"; head -c 20000 "$work/err"; } > "$work/words"
    return 1
  fi
  echo "exit code $code, $(field instructions "$work/out") instructions" > "$work/words"
}

# once FILE ENGINE INSTRUCTIONS OPTIONS...: the hash at the end into FILE.
once() {
  local file=$1 engine=$2 limit=$3
  shift 3
  timeout $((seconds + 60)) "$apus" --headless --snapshot --engine "$engine" "${options[@]}" "$@" \
    --max-instructions "$limit" --timeout "$seconds" --json > "$work/out" 2> "$work/err" < /dev/null
  local code=$?
  if [ $code -eq 2 ]; then echo "out of time" > "$file"; return; fi
  if ! grep -q stateHash "$work/out"; then
    echo "exit code $code: $(tail -1 "$work/err")" > "$file"
    [ $code -eq 64 ] && cp "$file" "$work/words" && return 64
    return
  fi
  echo "$code $(field stateHash "$work/out") $(field instructions "$work/out")" > "$file"
}

hash() {
  local end
  once "$work/a" interpreter "$max" "$@"
  once "$work/b" translator "$max" "$@"
  once "$work/c" translator "$max" "$@"
  end=$(awk '{print $3}' "$work/a")
  cp "$work/a" "$work/d"
  cp "$work/a" "$work/e"
  case "$*" in
    # Texts waited for before the state are not waited for again behind it.
    *--expect*) ;;
    *) if [ "${end:-0}" -gt 2 ] 2>/dev/null; then
      once "$work/x" interpreter $((end / 2)) "$@" --save-state "$work/state"
      once "$work/d" translator "$max" "$@" --load-state "$work/state"
      once "$work/x" translator $((end / 3)) "$@" --save-state "$work/state"
      once "$work/e" interpreter "$max" "$@" --load-state "$work/state"
    fi ;;
  esac
  paste -d '|' "$work/a" "$work/b" "$work/c" "$work/d" "$work/e" > "$work/words"
  local n
  for n in b c d e; do cmp -s "$work/a" "$work/$n" || return 1; done
  grep -q "exit code\|out of time" "$work/a" && return 1
  cp "$work/a" "$work/words"
}

# parts OPTIONS...: one run; a line "name: reason, exit code, instructions, hash of the state, of its parts" into $work/words.
parts() {
  timeout $((seconds + 60)) "$apus" --headless --snapshot "${options[@]}" "$@" \
    --max-instructions "${limit:-$max}" --timeout "$seconds" --json > "$work/out" 2> "$work/err" < /dev/null
  local code=$?
  if ! grep -q stateHash "$work/out"; then
    echo "exit code $code: $(tail -1 "$work/err")" > "$work/words"
    return 1
  fi
  echo "$key: $(field reason "$work/out") $code $(field instructions "$work/out") $(field stateHash "$work/out")" \
    "$(sed -n 's/.*"parts":{\([^}]*\)}.*/\1/p' "$work/out" | tr -d '"' | tr , ' ')" > "$work/words"
}

keep() {
  parts "$@" || return 1
  cat "$work/words" >> "$kept"
  echo "kept" > "$work/words"
}

check() {
  local line
  parts "$@" || return 1
  line=$(grep -F "$key: " "$kept" | head -1)
  if [ -z "$line" ]; then echo "not in $kept" > "$work/words"; return; fi
  if [ "$line" = "$(cat "$work/words")" ]; then echo "as kept" > "$work/words"; return; fi
  # What differs, word by word.
  diff <(echo "$line" | tr ' ' '\n') <(tr ' ' '\n' < "$work/words") | grep '^[<>]' > "$work/differs"
  mv "$work/differs" "$work/words"
  return 1
}

kernel() {
  local file=$1 folder
  folder=$(dirname "$file")
  case "$(basename "$file")" in
    vmlinuz*)
      [ -f "$folder/initramfs.gz" ] || return
      if [ $mode != lockstep ]; then
        try "$file" --kernel "$file" --initrd "$folder/initramfs.gz" --append console=ttyS0
      else
        # Most of it is idle.
        limit=30000000000 try "$file" --kernel "$file" --initrd "$folder/initramfs.gz" --append console=ttyS0 \
          --expect "# "
      fi ;;
    *.flat) try "$file" --kernel "$file" --exit-port f4 --cpu pentium4 --memory 128 ;;
    memtest*) try "$file" --kernel "$file" --memory 16 ;;
    *) try "$file" --kernel "$file" ;;
  esac
}

image() {
  local file=$1
  case "$(basename "$file")" in
    freedos.img)
      [ $mode != lockstep ] || try "$file (typed at)" "$file" --expect 'A:\>' --type 'dir<enter>ver<enter>mem<enter>' --expect 'free' ;;
    grub-rescue-floppy.img)
      [ $mode != lockstep ] || try "$file (typed at)" "$file" --expect 'GNU GRUB' --type c --expect 'grub>' --type 'ls<enter>lsmmap<enter>' --expect ')' ;;
  esac
  try "$file" "$file" --exit-port f4
}

assemble() { nasm -f bin -i "$(dirname "$1")/" -i "$(dirname "$1")/../" -o "$2" "$1"; }

one() {
  case "$1" in
    *.img | *.flp | *.ima) image "$1" ;;
    */vmlinuz* | *.lkrn | *.exec | */memtest*.bin | *.flat) kernel "$1" ;;
    */test386.bin) try "$1" --bios "$1" --cpu 386 ;;
  esac
}

if [ ${#folders[@]} -eq 0 ]; then
  try "demo disk"
  # ROMs are named by set and file; the folders within a set may change.
  for source in $(find TestROMs/cpu TestROMs/devices -name '*.asm' | sort); do
    folder=$(echo "$source" | cut -d/ -f1,2)
    name=$folder/$(basename "$source")
    rom=$work/$(basename "$source" .asm).bin
    assemble "$source" "$rom" || { failed=$((failed + 1)); continue; }
    speed=()
    case "$folder" in
      *devices)
        # Floppy and disk as the tests have them, but empty: what fails for that fails in both engines.
        truncate -s 1474560 "$work/floppy.img"
        truncate -s $((4 * 16 * 63 * 512)) "$work/disk.img"
        speed=(--floppy-a "$work/floppy.img" --disk "$work/disk.img" --cpu-speed 10 --memory 2) ;;
    esac
    models="pentium4 386"
    # The tests of devices use what the chip set of a Pentium has.
    case "$folder" in *devices) models=pentium4 ;; esac
    for model in $models; do
      # A test that a model does not pass may wait for ever.
      limit=300000000 try "$name on a $model" --bios "$rom" --cpu $model --exit-port f4 "${speed[@]}"
    done
  done
  for source in $(find TestROMs/bios TestROMs/video TestROMs/script -name '*.asm' | sort); do
    assemble "$source" "$work/boot.img" 2> /dev/null || continue
    truncate -s 1474560 "$work/boot.img"
    try "$(echo "$source" | cut -d/ -f1,2)/$(basename "$source")" "$work/boot.img" --exit-port f4
  done
  [ -n "${APUS_GUESTS:-}" ] && folders=("$APUS_GUESTS")
fi
for folder in "${folders[@]}"; do
  if [ -f "$folder" ]; then one "$(realpath "$folder")"; continue; fi
  for file in "$(realpath "$folder")"/*; do [ -f "$file" ] && one "$file"; done
done
echo "$count guests, $failed differ"
[ $failed -eq 0 ]
