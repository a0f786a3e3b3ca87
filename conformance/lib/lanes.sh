# For scripts that run many checks, in two lanes at once. Sourced by bash, with `logs` set to a folder for the output of the
# checks, `only` to the names of those to run (none: all), and `report NAME STATUS SECONDS`, which prints the result of one.

# Nothing is kept for a later build, nor for a debugger: that would be ten times the disk, and take longer.
export CARGO_INCREMENTAL=0 CARGO_PROFILE_DEV_DEBUG=0 CARGO_PROFILE_RELEASE_DEBUG=0

# What runs in this shell: a check, or the lanes. A lane is a shell of its own, and passes on that it has to end.
running=()
trap 'end' INT TERM HUP QUIT
end() {
    trap '' INT TERM HUP QUIT
    [ ${#running[@]} -eq 0 ] || { kill "${running[@]}" && wait "${running[@]}"; } 2>/dev/null
    exit 130
}

# 1 once a check of this shell has failed. A lane ends with it.
failure=0

# check NAME MINUTES COMMAND...: the minutes stop what hangs, with its process group. A busy machine takes three times as long as a
# quiet one.
check() {
    local name=$1 minutes=$2 start status
    shift 2
    if [ ${#only[@]} -gt 0 ] && [[ " ${only[*]} " != *" $name "* ]]; then return; fi
    start=$SECONDS
    timeout --kill-after=10 "${minutes}m" "$@" >"$logs/$name.log" 2>&1 </dev/null &
    running=($!)
    wait "${running[@]}"
    status=$?
    running=()
    [ $status -eq 0 ] || failure=1
    report "$name" $status $((SECONDS - start))
}

lane() {
    running=()
    # It ignores the others, because it runs in the background.
    trap 'end' TERM HUP
    "$1"
    exit $failure
}

# lanes FUNCTION...: runs these functions at once, each of which runs its checks one after the other.
lanes() {
    local work
    for work; do
        lane "$work" &
        running+=($!)
    done
    for work in "${running[@]}"; do
        # Also if a lane was killed.
        wait "$work" || failure=1
    done
    running=()
}
