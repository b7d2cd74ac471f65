#!/bin/sh
# Redraws the pictures in screenshots/ with the sample model; `make screenshots` builds what it needs and calls it.
# Every picture is also made as PNG where PNG=1 is set and rsvg-convert is there, into build/, for looking at.
set -eu
cd "$(dirname "$0")/.."

mkdir -p screenshots
# Nothing of the person who runs this may be seen or changed.
home=$(mktemp -d "${TMPDIR:-/tmp}/quantdial-screenshots.XXXXXX")
trap 'rm -rf "$home"' EXIT
export HOME="$home" XDG_CACHE_HOME="$home/cache" XDG_CONFIG_HOME="$home/config" XDG_STATE_HOME="$home/state"
export QUANTDIAL_SAMPLES=samples QUANTDIAL_BACKEND=cpu
unset NO_COLOR COLORTERM TERMINFO 2>/dev/null || :

# Once, so that every picture finds the measurements in the cache.
build/picture/quantdial calibrate --quiet >/dev/null

# picture NAME COLSxROWS THEME STEP... : see tools/screenshot.c for the steps
picture() {
    name=$1 size=$2 theme=$3
    shift 3
    rm -rf "$XDG_STATE_HOME" # what the picture before left unsaved is not offered here
    echo "screenshots/$name.svg"
    build/screenshot "$size" "screenshots/$name.svg" "$theme" "wait:v1 " "gone:not calibrated" "gone:calibrating" "gone:scoring" "gone:measuring" "gone:writing" quiet \
        "$@" -- build/picture/quantdial --fresh ${OPTIONS:-}
    if [ "${PNG:-}" = 1 ]; then rsvg-convert -o "build/$name.png" "screenshots/$name.svg"; fi
}

# A state is pinned, then alpha turned: better here, worse there.
for theme in dark light; do
    picture layers-$theme 120x36 $theme "keys:p" "keys:\\t" "keys::set alpha 0.1\\r" "wait:✓" "gone:scoring" quiet
done
picture override-dark 120x36 dark "keys:o" "keys::set weight-bits 8\\r" "gone:scoring" quiet
picture marks-dark 120x36 dark "keys:p" "keys:*role = down layer >= 3\\r" "keys:o" "keys::set weight-bits 8\\r" "wait:✓" "gone:scoring" quiet
picture small-dark 80x24 dark
picture view-dark 120x36 dark "keys:v" "keys:v"
picture outliers-dark 120x36 dark "gone:timing" "keys:2" "keys: " "keys:]" "keys:]" "wait:mends it:" quiet
OPTIONS=--ascii picture ascii-dark 120x36 dark
picture sweep-dark 120x36 dark "keys:4" "wait:11 of 11 points" "gone:sweeping" quiet
picture sensitivity-dark 120x36 dark "keys:5" "wait:42 are measured" "gone:measuring" "keys::budget 4.5\\r" quiet
picture convert-dark 120x36 dark "keys:x" "wait:disk has" "keys:f" "wait:since pin" "gone:scoring" "gone:measuring" "gone:timing" quiet
# The best of two rows has a note, and the other's text is read token by token.
picture trials-dark 120x36 dark "keys::set weight-bits 3\\r" "wait:3.14" "gone:scoring" "gone:timing" quiet \
    "keys:u:set alpha 0.1\\r" "wait:4.49" "gone:scoring" "gone:timing" quiet "keys:3" "keys:efor the talk\\r" \
    "keys:jb" "keys:\\t\\t\\tlllllll" "wait:token 11" quiet

# quantdial --demo, as it plays.
rm -rf "$XDG_STATE_HOME"
echo "screenshots/demo.svg"
build/recording 120x36 screenshots/demo.svg dark "takes over" "tour is over" -- build/picture/quantdial --demo
