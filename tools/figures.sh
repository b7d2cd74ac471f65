#!/bin/sh
# Draws the figures of docs/measurements.md into screenshots/: sweeps of the program over its sample. `make figures` calls it.
set -eu
cd "$(dirname "$0")/.."

# sweep NAME OPTION...: screenshots/NAME.svg, and the table on stdout
sweep() {
    name=$1
    shift
    echo "quantdial sweep $*"
    build/quantdial sweep --quiet --svg "screenshots/$name.svg" "$@"
    echo
}

sweep alpha --activations none --sweep alpha-rule=noise,shrink,literal --sweep alpha=0.1:0.9:0.1,0.95,0.99
sweep thresholds --weight-bits 8 --granularity group --activations fptq --sweep v1=100:200:50 --sweep v0=0:20:1
sweep equalization --weight-bits 8 --granularity group \
    --sweep activations=static,percentile,smoothquant,fptq,token,channel --sweep lae-alpha=0:1:0.1
