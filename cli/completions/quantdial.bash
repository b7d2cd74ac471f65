# bash completion for quantdial: commands and options are read from the program's own help.
_quantdial() {
    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]} commands command= help
    commands=$(quantdial --help 2>/dev/null | sed -n '/^Commands/,/^$/s/^  \([a-z]*\) .*/\1/p')
    [[ $COMP_CWORD -gt 1 && " $commands " == *[[:space:]]"${COMP_WORDS[1]}"[[:space:]]* ]] && command=${COMP_WORDS[1]}
    help=$(quantdial $command --help 2>/dev/null)
    if [[ $word == -* ]]; then
        COMPREPLY=($(compgen -W "$(sed -n 's/^ *\(-., \)\{0,1\}\(--[a-z0-9-]*\).*/\2/p' <<<"$help")" -- "$word"))
        return
    fi
    # A choice such as on|off after its option.
    local choices
    choices=$(sed -n "s/^ *\(-., \)\{0,1\}$before \([a-z0-9.-]*|[a-z0-9.|-]*\)\( .*\)\{0,1\}$/\2/p" <<<"$help" | tr '|' ' ')
    if [[ $before == --* && -n $choices ]]; then
        COMPREPLY=($(compgen -W "$choices" -- "$word"))
        return
    fi
    COMPREPLY=($(compgen -f -- "$word"))
    [[ $COMP_CWORD -eq 1 ]] && COMPREPLY+=($(compgen -W "$commands" -- "$word"))
}
complete -o filenames -F _quantdial quantdial
