# For shell scripts that print one line per check, with result and duration. Sourced, with `out` set to a
# folder for the output of the checks.

checks_passed=0
checks_failed=0
mkdir -p "$out"
checks_log=$(mktemp "$out/check.XXXXXX")
trap 'rm -f "$checks_log"' EXIT
trap 'exit 130' INT TERM HUP

# check NAME COMMAND...: the command succeeds.
check() {
    checks_name=$1
    shift
    checks_start=$(date +%s%N)
    if "$@" >"$checks_log" 2>&1; then checks_line ok; else checks_line FAIL; fi
}

# refused NAME TEXT COMMAND...: the command fails, and says TEXT.
refused() {
    checks_name=$1
    checks_text=$2
    shift 2
    checks_start=$(date +%s%N)
    if ! "$@" >"$checks_log" 2>&1 && grep -q -e "$checks_text" "$checks_log"; then
        checks_line ok
    else
        checks_line FAIL
    fi
}

checks_line() {
    checks_ms=$((($(date +%s%N) - checks_start) / 1000000))
    printf '%-7s %4d.%03d s  %s\n' "$1" $((checks_ms / 1000)) $((checks_ms % 1000)) "$checks_name"
    if [ "$1" = ok ]; then
        checks_passed=$((checks_passed + 1))
    else
        checks_failed=$((checks_failed + 1))
        tail -n 20 "$checks_log" | cut -c -400 | sed 's/^/    /'
    fi
}

# The totals; exit status 1 when a check has failed or there was none.
finish() {
    echo "$checks_passed ok, $checks_failed failed"
    [ "$checks_failed" = 0 ] && [ "$checks_passed" != 0 ]
}
