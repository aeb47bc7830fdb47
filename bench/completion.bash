# Tab completion of fm-bench, for bash and (after bashcompinit) zsh.
# The shell splits words at `=`, and replaces what comes after the last one.
_fm_bench() {
    local line="${COMP_LINE:0:COMP_POINT}" IFS=$'\n'
    COMPREPLY=($(fm-bench complete "$line" 2>/dev/null))
    [[ ${#COMPREPLY[@]} == 1 && ${COMPREPLY[0]} == *= ]] && compopt -o nospace
}
complete -o default -F _fm_bench fm-bench
