# For shell scripts that keep the results of a long run in a file of the repository. Sourced.

# What such runs write. It does not count as a change of what is tested, because conformance/all writes all of it in one run.
not_results=":(exclude)conformance/autobahn-deflate.txt :(exclude)conformance/soak.txt :(exclude)conformance/model.txt
    :(exclude)conformance/mutants.md :(exclude)conformance/coverage.md :(exclude)fuzz/RESULTS.md"

# recorded ROOT COMMAND [DETAILS]: the head of such a file: the command, and the commit that was tested.
recorded() {
    recorded_commit=$(git -C "$1" rev-parse HEAD)
    # shellcheck disable=SC2086 # these are several words
    git -C "$1" diff --quiet HEAD -- . $not_results || recorded_commit="$recorded_commit, with changes"
    printf '%s\nCommit %s%s.\n\n' "${2%% --record *}" "$recorded_commit" "${3:+, $3}"
}

# still_counts ROOT FILE PATH...: whether the run in that file tested a commit without changes, and these paths are still the same,
# except the comments and unit tests of a source, which no program contains.
still_counts() (
    counts_root=$1
    counts_commit=$(sed -n '/with changes/d; s/^Commit \([0-9a-f]\{40\}\).*/\1/p' "$2" 2>/dev/null)
    shift 2
    [ -n "$counts_commit" ] || exit 1
    cd "$counts_root" && counts_changed=$(git diff --name-only --no-renames "$counts_commit" -- "$@") || exit 1
    for counts_file in $counts_changed; do
        case $counts_file in
            *.rs) [ "$(git show "$counts_commit:$counts_file" | code)" = "$(code <"$counts_file")" ] || exit 1 ;;
            *) exit 1 ;;
        esac
    done
)

# A source without comments and unit tests. Only a module in the file itself is left out, which is the last in it. One in a file of
# its own is declared among the others.
code() {
    awk '/^ *(\/\/|$)/ { next }
        /^#\[cfg\((all\()?test/ { held = $0; next }
        held != "" { if (/^#\[/) { held = held "\n" $0; next } if (/^mod [a-z_]+ \{/) { held = ""; exit } print held; held = "" }
        { print }
        END { if (held != "") print held }'
}
