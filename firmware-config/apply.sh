#!/usr/bin/env bash
# Turn a Raspberry Pi OS (or Debian 12, 13) into a probe's: all but the package itself.
#
#   apply.sh [--root DIR] [--boot DIR] [--install] [--deb FILE]
#   apply.sh --list
#
# --root DIR   the system: the root of a mounted image, a chroot, or / (the default)
# --boot DIR   its first partition; default: DIR/boot/firmware
# --install    install the packages of packages.txt that are missing (apt-get in DIR)
# --deb FILE   install this linewatch package
# --list       print which file goes where, and end
#
# Works as root. A second run changes nothing. What it changes it says; what a person
# has set up (an own user-data) stays. Nothing is started: restart a running Pi.
set -euo pipefail
shopt -s nullglob

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
readonly HERE
readonly BEGIN='# linewatch: begin (written by apply.sh)' END='# linewatch: end'
ROOT=/ BOOT='' INSTALL=no DEB=''
changed=0

# source below this folder | where it goes | mode
FILES=(
    "networkmanager/linewatch-fixed.nmconnection|etc/NetworkManager/system-connections/linewatch-fixed.nmconnection|600"
    "networkmanager/linewatch-usb.nmconnection|etc/NetworkManager/system-connections/linewatch-usb.nmconnection|600"
    "networkmanager/linewatch-mobile.nmconnection|etc/NetworkManager/system-connections/linewatch-mobile.nmconnection|600"
    "networkmanager/99-linewatch.conf|etc/NetworkManager/conf.d/99-linewatch.conf|644"
    "etc/70-linewatch-usb.link|etc/systemd/network/70-linewatch-usb.link|644"
    "etc/journald.conf|etc/systemd/journald.conf.d/99-linewatch.conf|644"
    "etc/timesyncd.conf|etc/systemd/timesyncd.conf.d/99-linewatch.conf|644"
    "etc/system.conf|etc/systemd/system.conf.d/99-linewatch.conf|644"
    "etc/swap.conf|etc/rpi/swap.conf.d/99-linewatch.conf|644"
    "cloud-init/99-linewatch.cfg|etc/cloud/cloud.cfg.d/99-linewatch.cfg|644"
)
BOOT_FILES=(
    "boot/linewatch-example.toml|linewatch-example.toml|644"
    "cloud-init/user-data|user-data|644"
    "cloud-init/network-config|network-config|644"
    "cloud-init/meta-data|meta-data|644"
)
MERGED=(
    "boot/config.txt|config.txt"
    "boot/cmdline.txt|cmdline.txt"
    "masks.txt|etc/systemd/system"
    "fstab.txt|etc/fstab"
    "packages.txt|"
)

say() { printf '%s\n' "$*"; }
did() {
    say "changed  $*"
    changed=$((changed + 1))
}
die() {
    printf 'apply.sh: cannot go on: %s\n' "$*" >&2
    exit 1
}

main() {
    options "$@"
    check_system
    install_packages
    local row
    for row in "${FILES[@]}"; do
        IFS='|' read -r from to mode <<<"$row"
        place "$HERE/$from" "$ROOT/$to" "$mode"
    done
    mask_units
    edit_fstab
    if [ -f "$BOOT/config.txt" ] && [ -f "$BOOT/cmdline.txt" ]; then
        prepare_boot
    elif [ -e "$ROOT/etc/rpi-issue" ]; then
        die "there is no config.txt and cmdline.txt in $BOOT: is the image's first partition mounted there?"
    else
        say "left out $BOOT is not a Raspberry Pi's first partition: no config.txt, cmdline.txt, cloud-init"
    fi
    install_deb
    if [ "$changed" = 0 ]; then
        say "all as it was: nothing to change"
    else
        say "$changed changes; they hold from the next start on"
    fi
}

options() {
    while [ $# -gt 0 ]; do
        case "$1" in
            --root | --boot | --deb)
                [ -n "${2:-}" ] || die "$1 needs a name after it; see apply.sh --help"
                case "$1" in
                    --root) ROOT=$2 ;;
                    --boot) BOOT=$2 ;;
                    --deb) DEB=$2 ;;
                esac
                shift
                ;;
            --install) INSTALL=yes ;;
            --list)
                printf '%s\n' "${FILES[@]}" "${BOOT_FILES[@]}" "${MERGED[@]}"
                exit 0
                ;;
            -h | --help)
                sed -n '2,/^set -euo/s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"
                exit 0
                ;;
            *) die "there is no option $1; see apply.sh --help" ;;
        esac
        shift
    done
    ROOT=${ROOT%/}
    # One that was named must be right; else a plain Debian has none.
    [ -z "$BOOT" ] || [ -f "$BOOT/config.txt" ] ||
        die "$BOOT is not a Raspberry Pi's first partition: there is no config.txt"
    BOOT=${BOOT:-$ROOT/boot/firmware}
    [ -z "$DEB" ] || [ -f "$DEB" ] || die "there is no file $DEB; \`make deb\` makes it in dist/"
}

check_system() {
    [ "$(id -u)" = 0 ] || die "it changes a system: run it as root (sudo)"
    local release=$ROOT/etc/os-release id='' version=''
    [ -e "$release" ] || release=$ROOT/usr/lib/os-release
    [ -r "$release" ] || die "${ROOT:-/} holds no system: there is no etc/os-release; is the image's second partition mounted there?"
    id=$(sed -n 's/^ID=//p' "$release" | tr -d '"')
    version=$(sed -n 's/^VERSION_ID=//p' "$release" | tr -d '"')
    case "$id" in
        debian | raspbian) ;;
        *) die "${ROOT:-/} holds '${id:-an unknown system}', not Raspberry Pi OS or Debian" ;;
    esac
    case "$version" in
        12 | 13) ;;
        *) die "${ROOT:-/} holds release '${version:-unknown}' of it; 12 (Bookworm) or 13 (Trixie) is needed" ;;
    esac
    [ -d "$ROOT/usr/lib/systemd/system" ] || die "${ROOT:-/} holds a system without systemd"
    say "system   $(sed -n 's/^PRETTY_NAME=//p' "$release" | tr -d '"') in ${ROOT:-/}"
}

# Put a file there with this content and mode, unless it is so already.
place() { # from, to, mode
    local to=$2 mode=$3
    if [ -f "$to" ] && cmp -s "$1" "$to" && { [ "$(stat -c %a "$to")" = "$mode" ] || ! keeps_modes "$to"; }; then
        return
    fi
    mkdir -p "$(dirname "$to")"
    install -m "$mode" "$1" "$to.linewatch-new"
    mv -f "$to.linewatch-new" "$to"
    did "${to#"$ROOT"}"
}

keeps_modes() { [ "$(stat -f -c %T "$1")" != msdos ]; } # FAT has none

rows() { grep -Ev '^ *(#|$)' "$1"; }

mask_units() {
    local unit why at
    while IFS='|' read -r unit why; do
        unit=${unit// /}
        at=$ROOT/etc/systemd/system/$unit
        if [ -L "$at" ] && [ "$(readlink "$at")" = /dev/null ]; then
            continue
        elif [ -e "$at" ] && [ ! -L "$at" ]; then
            say "left     ${at#"$ROOT"} is somebody's own: not masked (${why# })"
            continue
        fi
        mkdir -p "$(dirname "$at")"
        ln -sfn /dev/null "$at"
        did "masked $unit: ${why# }"
    done < <(rows "$HERE/masks.txt")
}

edit_fstab() {
    local at=$ROOT/etc/fstab new
    new=$(mktemp)
    [ -e "$at" ] || install -m 644 /dev/null "$at"
    # Options are added where their mount point is in the table; whole lines where it is not.
    awk '
        NR == FNR { if ($0 !~ /^ *(#|$)/) { n++; what[n] = $1; point[n] = $2; type[n] = $3; option[n] = $4 }; next }
        !/^[ \t]*(#|$)/ {
            for (i = 1; i <= n; i++) if ($2 == point[i]) {
                seen[i] = 1
                stem = option[i]; sub(/=.*/, "", stem)
                if (what[i] == "add" && $3 == type[i] && ("," $4 ",") !~ ("," stem "[=,]")) $4 = $4 "," option[i]
            }
        }
        { print }
        END { for (i = 1; i <= n; i++) if (what[i] != "add" && !seen[i]) print what[i], point[i], type[i], option[i], 0, 0 }
    ' "$HERE/fstab.txt" "$at" >"$new"
    grep -Eq '^[^#[:space:]]+[[:space:]]+/[[:space:]]' "$at" ||
        say "left out etc/fstab has no line for /: mount it with lazytime by other means"
    if cmp -s "$new" "$at"; then rm "$new"; else
        install -m 644 "$new" "$at.linewatch-new" && mv -f "$at.linewatch-new" "$at"
        rm "$new"
        did "/etc/fstab: fewer writes to the card, no logs on it"
    fi
}

prepare_boot() {
    local row from to mode
    for row in "${BOOT_FILES[@]}"; do
        IFS='|' read -r from to mode <<<"$row"
        if is_persons_own "$BOOT/$to"; then
            say "left     $BOOT/$to is somebody's own, from Imager perhaps"
        else
            place "$HERE/$from" "$BOOT/$to" "$mode"
        fi
    done
    merge_config
    merge_cmdline
}

# Whether somebody wrote into one of cloud-init's files: not ours, and not only comments.
is_persons_own() {
    [ -f "$1" ] || return 1
    case "${1##*/}" in
        meta-data) # needs only these two keys, whoever wrote them
            grep -q '^dsmode: *local' "$1" && grep -Eq '^instance[_-]id: *[^ ]' "$1" && ! grep -q '^# Linewatch\.' "$1" ;;
        user-data | network-config)
            grep -Evq '^[[:space:]]*(#|$)' "$1" && ! grep -q '^# Linewatch\.' "$1" ;;
        *) return 1 ;;
    esac
}

merge_config() {
    local at=$BOOT/config.txt new
    new=$(mktemp)
    # shellcheck disable=SC1003 # `$a\` ends a last line that has no end.
    awk -v begin="$BEGIN" -v end="$END" '
        $0 == begin { skip = 1 }
        !skip { print }
        $0 == end { skip = 0 }
    ' "$at" | sed -e '$a\' >"$new"
    { printf '%s\n' "$BEGIN" && cat "$HERE/boot/config.txt" && printf '%s\n' "$END"; } >>"$new"
    place "$new" "$at" "$(stat -c %a "$at")"
    rm "$new"
}

merge_cmdline() {
    local at=$BOOT/cmdline.txt line word new
    line=$(head -n 1 "$at")
    for word in $(rows "$HERE/boot/cmdline.txt"); do
        case " $line " in *" $word "*) ;; *) line="$line $word" ;; esac
    done
    new=$(mktemp)
    printf '%s\n' "$line" >"$new"
    place "$new" "$at" "$(stat -c %a "$at")"
    rm "$new"
}

inside() { if [ -z "$ROOT" ]; then "$@"; else chroot "$ROOT" "$@"; fi; }

install_packages() {
    local name why missing=()
    while IFS='|' read -r name why; do
        name=${name// /}
        dpkg-query --admindir="$ROOT/var/lib/dpkg" -W -f '${db:Status-Abbrev}' "$name" 2>/dev/null | grep -q '^ii' ||
            missing+=("$name")
    done < <(rows "$HERE/packages.txt")
    [ ${#missing[@]} -gt 0 ] || return 0
    if [ "$INSTALL" = no ]; then
        # Without it dpkg would leave the package half installed, and apt in its way.
        [ -z "$DEB" ] || [[ " ${missing[*]} " != *" python3 "* ]] ||
            die "the package needs python3, which is missing: add --install"
        say "missing  packages: ${missing[*]} (apply.sh --install installs them)"
        return
    fi
    say "installs ${missing[*]}"
    # First what an installation that was cut off left behind.
    inside env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 sh -c \
        'apt-get -q update && apt-get -q install -y --fix-broken --no-install-recommends &&
        apt-get -q install -y --no-install-recommends "$@"' sh "${missing[@]}" ||
        die "apt-get failed (its words are above); is there a network, and can this machine run the image's programs?"
    did "packages: ${missing[*]}"
}

install_deb() {
    [ -n "$DEB" ] || return 0
    local name version have
    name=$(dpkg-deb -f "$DEB" Package)
    version=$(dpkg-deb -f "$DEB" Version)
    have=$(dpkg-query --admindir="$ROOT/var/lib/dpkg" -W -f '${db:Status-Abbrev}${Version}' "$name" 2>/dev/null || true)
    [ "$have" != "ii $version" ] || return 0
    cp "$DEB" "$ROOT/tmp/linewatch.deb"
    local failed=no
    inside dpkg -i /tmp/linewatch.deb || failed=yes
    rm "$ROOT/tmp/linewatch.deb"
    [ "$failed" = no ] || die "dpkg failed (its words are above)"
    did "package $name $version"
}

main "$@"
