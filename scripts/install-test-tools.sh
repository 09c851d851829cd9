#!/usr/bin/env bash
# Installs what the tests need beyond the Rust toolchain: foreign readers of our archives, and peers to compare with.
# Debian's packages, by name. Asks for nothing that is there already.
set -euo pipefail

declare -A package_of=(
  [cc]=gcc [python3]=python3 [unzip]=unzip [zip]=zip [zstd]=zstd [bsdtar]=libarchive-tools [7z]=7zip
  [sqlite3]=sqlite3 [setfattr]=attr [setfacl]=acl [xz]=xz-utils
)
missing=()
for program in "${!package_of[@]}"; do
  command -v "$program" >/dev/null || missing+=("${package_of[$program]}")
done
[ "${#missing[@]}" -eq 0 ] && exit 0

as_root=()
[ "$(id -u)" -eq 0 ] || as_root=(sudo)
echo "installing ${missing[*]}" >&2
"${as_root[@]}" apt-get update -qq
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}"
