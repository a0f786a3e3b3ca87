# For shell scripts that keep the results of a long run in a file of the repository. Sourced.

# recorded ROOT COMMAND [DETAILS]: the head of such a file: the command, and the commit that was tested. Other results do not
# count as changes, because one run of conformance/all writes several.
recorded() {
    recorded_commit=$(git -C "$1" rev-parse HEAD)
    git -C "$1" diff --quiet HEAD -- . ':!conformance/*.md' ':!conformance/*.txt' ':!fuzz/RESULTS.md' || recorded_commit="$recorded_commit, with changes"
    printf '%s\nCommit %s%s.\n\n' "$2" "$recorded_commit" "${3:+, $3}"
}
