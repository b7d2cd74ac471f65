# fish completion for quantdial: commands and options are read from the program's own help.
function __quantdial_commands
    quantdial --help 2>/dev/null | sed -n '/^Commands/,/^$/s/^  \([a-z]*\)  *\(.*\)/\1\t\2/p'
end
function __quantdial_options
    set -l words (commandline -opc)
    set -l command
    if test (count $words) -gt 1; and __quantdial_commands | string match -q -- "$words[2]	*"
        set command $words[2]
    end
    quantdial $command --help 2>/dev/null | sed -n 's/^ *\(-., \)\{0,1\}\(--[a-z0-9-]*\)[^ ]* *\(.*\)/\2\t\3/p'
end
complete -c quantdial -n 'test (count (commandline -opc)) -eq 1' -a '(__quantdial_commands)'
complete -c quantdial -n 'string match -q -- "-*" (commandline -ct)' -a '(__quantdial_options)'
