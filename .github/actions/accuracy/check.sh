#!/usr/bin/env bash
# The check of an action, and anywhere: CHECKS, REFERENCE, BASE and PULL_REQUEST may be empty,
# and RESULTS, the folder of the store that the check is tracked in.
# Its table is written to the job's summary, and with the base branch beside it to the pull request.
set -euo pipefail
mark="<!-- fm-bench accuracy -->"
out="$(mktemp -d)"
arguments=(${CHECKS:+"$CHECKS"} ${REFERENCE:+--reference "$REFERENCE"})

base=()
if [ -n "${BASE:-}" ]; then
    git cat-file -e "$BASE" 2>/dev/null || git fetch --quiet --depth=1 origin "$BASE"
    git worktree add --detach --quiet "$out/base" "$BASE"
    (cd "$out/base" && env -u GITHUB_STEP_SUMMARY PYTHONPATH="$PWD${PYTHONPATH:+:$PYTHONPATH}" \
        python -m bench.check "${arguments[@]}" --no-track --json "$out/base.json" >/dev/null) || true
    git worktree remove --force "$out/base"
    [ ! -s "$out/base.json" ] || base=(--base "$out/base.json")
fi
tracked=(--no-track)
[ -z "${RESULTS:-}" ] || tracked=(--results "$RESULTS")
status=0
python -m bench.check "${arguments[@]}" "${tracked[@]}" "${base[@]}" --comment "$out/table.md" || status=$?
[ -s "$out/table.md" ] || exit "$status" # what was wrong has been said
{ echo "$mark"; cat "$out/table.md"; } >"$out/comment.md"

if [ -n "${PULL_REQUEST:-}" ]; then
    comments="repos/$GITHUB_REPOSITORY/issues/$PULL_REQUEST/comments"
    id="$(gh api --paginate "$comments" --jq ".[] | select(.body | startswith(\"$mark\")) | .id" | head -n 1)"
    if [ -n "$id" ]; then
        gh api --silent --method PATCH "repos/$GITHUB_REPOSITORY/issues/comments/$id" -F "body=@$out/comment.md"
    else
        gh api --silent --method POST "$comments" -F "body=@$out/comment.md"
    fi
fi
exit "$status"
