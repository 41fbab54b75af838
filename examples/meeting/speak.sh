#!/usr/bin/env bash
# Speaks script.txt with four voices of espeak-ng into a wav of 16 kHz, and writes beside it when each line is
# said and by whom. Needs espeak-ng and sox (Debian: `apt-get install espeak-ng sox`).
#
#   bash examples/meeting/speak.sh meeting.wav
set -euo pipefail
out=${1:?"usage: speak.sh OUT.wav"}
here=$(cd "$(dirname "$0")" && pwd)
parts=$(mktemp -d)
trap 'rm -rf "$parts"' EXIT
declare -A voice=([Anna]="-v en-gb+f3 -s 150 -p 55" [Ben]="-v en-us+m3 -s 145 -p 35"
                  [Clara]="-v en-gb-scotland+f4 -s 155 -p 65" [David]="-v en-us+m7 -s 150 -p 45")
at=0
number=0
: > "${out%.wav}.tsv"
while IFS= read -r line; do
    [[ -z $line || $line == \#* ]] && continue
    speaker=${line%%: *}
    number=$((number + 1))
    part=$(printf '%s/%04d.wav' "$parts" "$number")
    # shellcheck disable=SC2086
    espeak-ng ${voice[$speaker]} -w "$parts/raw.wav" "${line#*: }"
    # Half a second of silence after each line.
    sox "$parts/raw.wav" -r 16000 -c 1 -b 16 "$part" pad 0 0.5
    length=$(soxi -D "$part")
    printf '%s\t%s\t%s\t%s\n' "$at" "$(echo "$at + $length" | bc -l)" "$speaker" "${line#*: }" >> "${out%.wav}.tsv"
    at=$(echo "$at + $length" | bc -l)
done < "$here/script.txt"
sox "$parts"/[0-9]*.wav "$out"
echo "$out: $number lines, $(soxi -d "$out")"
