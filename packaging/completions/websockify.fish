# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_websockify_global_optspecs
    string join \n v/verbose traffic record= D/daemon run-once timeout= idle-timeout= cert= key= key-password= ssl-only ssl-target verify-client cafile= ssl-version= ssl-ciphers= unix-listen= unix-listen-mode= unix-target= inetd web= web-auth file-only wrap-mode= 6/prefer-ipv6 target-config= token-plugin= token-source= host-token allow-target= auth-plugin= auth-source= heartbeat= log-file= syslog= legacy-syslog auto-pong libserver h/help V/version
end

function __fish_websockify_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_websockify_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_websockify_using_subcommand
    set -l cmd (__fish_websockify_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c websockify -n "__fish_websockify_needs_command" -l record -d 'Record sessions to FILE.1, FILE.2 and so on, what is typed too' -r -F
complete -c websockify -n "__fish_websockify_needs_command" -l timeout -d 'Stop accepting after so long, exit after the last session' -r
complete -c websockify -n "__fish_websockify_needs_command" -l idle-timeout -d 'Exit when there was no connection for so long' -r
complete -c websockify -n "__fish_websockify_needs_command" -l cert -d 'TLS certificate chain; if it exists, TLS is on [default: self.pem]' -r -F
complete -c websockify -n "__fish_websockify_needs_command" -l key -d 'Private key, when it is not in the certificate\'s file' -r -F
complete -c websockify -n "__fish_websockify_needs_command" -l key-password -d 'Passphrase of the private key' -r
complete -c websockify -n "__fish_websockify_needs_command" -l cafile -d 'CA certificates that --verify-client trusts; nothing without it' -r -F
complete -c websockify -n "__fish_websockify_needs_command" -l ssl-version -d 'Lowest TLS version: default (1.2), tlsv1_1, tlsv1_2, tlsv1_3' -r -f -a "default\t''
tlsv1_1\t''
tlsv1_2\t''
tlsv1_3\t''"
complete -c websockify -n "__fish_websockify_needs_command" -l ssl-ciphers -d 'List of TLS ciphers' -r
complete -c websockify -n "__fish_websockify_needs_command" -l unix-listen -d 'Listen on a Unix socket in place of a source port' -r -F
complete -c websockify -n "__fish_websockify_needs_command" -l unix-listen-mode -d 'Permissions of that socket, in octal digits' -r
complete -c websockify -n "__fish_websockify_needs_command" -l unix-target -d 'Connect to a Unix socket in place of a target port' -r -F
complete -c websockify -n "__fish_websockify_needs_command" -l web -d 'Serve the files of DIR on the same port, or builtin:telnet' -r -F
complete -c websockify -n "__fish_websockify_needs_command" -l wrap-mode -d 'When PROGRAM ends: exit, ignore or respawn' -r -f -a "exit\t''
ignore\t''
respawn\t''"
complete -c websockify -n "__fish_websockify_needs_command" -l target-config -d 'Same as --token-plugin TokenFile --token-source FILE' -r
complete -c websockify -n "__fish_websockify_needs_command" -l token-plugin -d 'Look up where a token leads, by a plugin named below' -r
complete -c websockify -n "__fish_websockify_needs_command" -l token-source -d 'Where the plugin looks: a file, a directory, a URL, a server' -r
complete -c websockify -n "__fish_websockify_needs_command" -l allow-target -d 'Sessions may go to NETWORK, NETWORK:PORTS or unix:PATH only' -r
complete -c websockify -n "__fish_websockify_needs_command" -l auth-plugin -d 'Ask a plugin, named below, who may connect' -r
complete -c websockify -n "__fish_websockify_needs_command" -l auth-source -d 'What the plugin wants: USER:PASSWORD, origins, or names' -r
complete -c websockify -n "__fish_websockify_needs_command" -l heartbeat -d 'Ping clients so often' -r
complete -c websockify -n "__fish_websockify_needs_command" -l log-file -d 'Log to FILE as well' -r -F
complete -c websockify -n "__fish_websockify_needs_command" -l syslog -d 'Log to syslog as well: HOST:PORT over UDP, or a socket\'s path' -r
complete -c websockify -n "__fish_websockify_needs_command" -s v -l verbose -d 'Log debug records too'
complete -c websockify -n "__fish_websockify_needs_command" -l traffic -d 'Print a symbol on standard output for each thing that moves'
complete -c websockify -n "__fish_websockify_needs_command" -s D -l daemon -d 'Run in the background'
complete -c websockify -n "__fish_websockify_needs_command" -l run-once -d 'Serve one session, then exit'
complete -c websockify -n "__fish_websockify_needs_command" -l ssl-only -d 'Refuse connections without TLS'
complete -c websockify -n "__fish_websockify_needs_command" -l ssl-target -d 'Speak TLS to the target, whatever certificate it shows'
complete -c websockify -n "__fish_websockify_needs_command" -l verify-client -d 'Ask TLS clients for a certificate'
complete -c websockify -n "__fish_websockify_needs_command" -l inetd -d 'Take the socket from standard input; no source port'
complete -c websockify -n "__fish_websockify_needs_command" -l web-auth -d 'Ask for authentication of plain requests too'
complete -c websockify -n "__fish_websockify_needs_command" -l file-only -d 'Accepted, directories are never listed'
complete -c websockify -n "__fish_websockify_needs_command" -s 6 -l prefer-ipv6 -d 'Prefer IPv6 addresses to listen on'
complete -c websockify -n "__fish_websockify_needs_command" -l host-token -d 'The token is the host of the request'
complete -c websockify -n "__fish_websockify_needs_command" -l legacy-syslog -d 'Use the older syslog format'
complete -c websockify -n "__fish_websockify_needs_command" -l auto-pong -d 'Accepted, pings are always answered'
complete -c websockify -n "__fish_websockify_needs_command" -l libserver -d 'Accepted without effect, there is one server'
complete -c websockify -n "__fish_websockify_needs_command" -s h -l help -d 'Print help'
complete -c websockify -n "__fish_websockify_needs_command" -s V -l version -d 'Print version'
complete -c websockify -n "__fish_websockify_needs_command" -a "serve" -d 'Run the routes of a directory'
complete -c websockify -n "__fish_websockify_needs_command" -a "check" -d 'Tell what is wrong with routes, and what would be right'
complete -c websockify -n "__fish_websockify_needs_command" -a "convert" -d 'Print the TOML that says the same as a classic command line'
complete -c websockify -n "__fish_websockify_needs_command" -a "generate" -d 'Write what the systemd generator makes of the routes'
complete -c websockify -n "__fish_websockify_needs_command" -a "grant" -d 'Have a running route make a token, and print the URL that opens a session by it'
complete -c websockify -n "__fish_websockify_needs_command" -a "program" -d 'Start or stop the program of a route, as a unit of systemd'
complete -c websockify -n "__fish_websockify_needs_command" -a "replay" -d 'Serve a recording to browsers, as if it were the target'
complete -c websockify -n "__fish_websockify_needs_command" -a "demo" -d 'Serve a built-in page that talks to a built-in target'
complete -c websockify -n "__fish_websockify_needs_command" -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c websockify -n "__fish_websockify_using_subcommand serve" -l config -d 'The directory of the routes' -r -F
complete -c websockify -n "__fish_websockify_using_subcommand serve" -s v -l verbose -d 'Log debug records too'
complete -c websockify -n "__fish_websockify_using_subcommand serve" -s h -l help -d 'Print help'
complete -c websockify -n "__fish_websockify_using_subcommand check" -l config -d 'The directory of the routes' -r -F
complete -c websockify -n "__fish_websockify_using_subcommand check" -s h -l help -d 'Print help'
complete -c websockify -n "__fish_websockify_using_subcommand convert" -s h -l help -d 'Print help'
complete -c websockify -n "__fish_websockify_using_subcommand generate" -l config -d 'The directory of the routes' -r -F
complete -c websockify -n "__fish_websockify_using_subcommand generate" -l user -d 'For the manager of a user, not of the system'
complete -c websockify -n "__fish_websockify_using_subcommand generate" -s h -l help -d 'Print help'
complete -c websockify -n "__fish_websockify_using_subcommand grant" -l target -d 'Where the session goes: an address and a port, or a Unix socket as in route files' -r
complete -c websockify -n "__fish_websockify_using_subcommand grant" -l ttl -d 'How long the token is good, from 1s to 7days' -r
complete -c websockify -n "__fish_websockify_using_subcommand grant" -l uses -d 'It is good for so many sessions' -r
complete -c websockify -n "__fish_websockify_using_subcommand grant" -l user -d 'Whom it is for: records have the name, and where the route asks who clients are, nobody else may use it' -r
complete -c websockify -n "__fish_websockify_using_subcommand grant" -l config -d 'The directory of the routes' -r -F
complete -c websockify -n "__fish_websockify_using_subcommand grant" -l socket -d 'The control socket, where it is not where the route\'s name and file say' -r -F
complete -c websockify -n "__fish_websockify_using_subcommand grant" -l once -d 'It is good for one session, which is the default'
complete -c websockify -n "__fish_websockify_using_subcommand grant" -l json -d 'Print JSON: the URL, the token, and when it expires'
complete -c websockify -n "__fish_websockify_using_subcommand grant" -s h -l help -d 'Print help'
complete -c websockify -n "__fish_websockify_using_subcommand program; and not __fish_seen_subcommand_from start stop place ended session help" -s h -l help -d 'Print help'
complete -c websockify -n "__fish_websockify_using_subcommand program; and not __fish_seen_subcommand_from start stop place ended session help" -f -a "start" -d 'Start the program, and wait until it runs'
complete -c websockify -n "__fish_websockify_using_subcommand program; and not __fish_seen_subcommand_from start stop place ended session help" -f -a "stop" -d 'Stop the program, and wait until it has ended'
complete -c websockify -n "__fish_websockify_using_subcommand program; and not __fish_seen_subcommand_from start stop place ended session help" -f -a "place" -d 'For systemd, before each start of the program'
complete -c websockify -n "__fish_websockify_using_subcommand program; and not __fish_seen_subcommand_from start stop place ended session help" -f -a "ended" -d 'For systemd, after each end of the program'
complete -c websockify -n "__fish_websockify_using_subcommand program; and not __fish_seen_subcommand_from start stop place ended session help" -f -a "session" -d 'For systemd, in the unit of a session, which is on standard input'
complete -c websockify -n "__fish_websockify_using_subcommand program; and not __fish_seen_subcommand_from start stop place ended session help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c websockify -n "__fish_websockify_using_subcommand program; and __fish_seen_subcommand_from start" -l config -d 'The directory of the routes' -r -F
complete -c websockify -n "__fish_websockify_using_subcommand program; and __fish_seen_subcommand_from start" -l user -d 'Of the manager of a user, not of the system'
complete -c websockify -n "__fish_websockify_using_subcommand program; and __fish_seen_subcommand_from start" -s h -l help -d 'Print help'
complete -c websockify -n "__fish_websockify_using_subcommand program; and __fish_seen_subcommand_from stop" -l user -d 'Of the manager of a user, not of the system'
complete -c websockify -n "__fish_websockify_using_subcommand program; and __fish_seen_subcommand_from stop" -l if-over -d 'Only when the route\'s service, which has ended, is not about to be back'
complete -c websockify -n "__fish_websockify_using_subcommand program; and __fish_seen_subcommand_from stop" -s h -l help -d 'Print help'
complete -c websockify -n "__fish_websockify_using_subcommand program; and __fish_seen_subcommand_from place" -l port -d 'The port that it binds, and that is moved' -r
complete -c websockify -n "__fish_websockify_using_subcommand program; and __fish_seen_subcommand_from place" -l user -d 'Of the manager of a user, not of the system'
complete -c websockify -n "__fish_websockify_using_subcommand program; and __fish_seen_subcommand_from place" -l respawn -d 'Keep the pace of a program that is started again and again'
complete -c websockify -n "__fish_websockify_using_subcommand program; and __fish_seen_subcommand_from place" -s h -l help -d 'Print help'
complete -c websockify -n "__fish_websockify_using_subcommand program; and __fish_seen_subcommand_from ended" -l user -d 'Of the manager of a user, not of the system'
complete -c websockify -n "__fish_websockify_using_subcommand program; and __fish_seen_subcommand_from ended" -s h -l help -d 'Print help'
complete -c websockify -n "__fish_websockify_using_subcommand program; and __fish_seen_subcommand_from session" -l user -d 'Of the manager of a user, not of the system'
complete -c websockify -n "__fish_websockify_using_subcommand program; and __fish_seen_subcommand_from session" -l pty -d 'Give the program a terminal in place of a socket'
complete -c websockify -n "__fish_websockify_using_subcommand program; and __fish_seen_subcommand_from session" -s h -l help -d 'Print help'
complete -c websockify -n "__fish_websockify_using_subcommand program; and __fish_seen_subcommand_from help" -f -a "start" -d 'Start the program, and wait until it runs'
complete -c websockify -n "__fish_websockify_using_subcommand program; and __fish_seen_subcommand_from help" -f -a "stop" -d 'Stop the program, and wait until it has ended'
complete -c websockify -n "__fish_websockify_using_subcommand program; and __fish_seen_subcommand_from help" -f -a "place" -d 'For systemd, before each start of the program'
complete -c websockify -n "__fish_websockify_using_subcommand program; and __fish_seen_subcommand_from help" -f -a "ended" -d 'For systemd, after each end of the program'
complete -c websockify -n "__fish_websockify_using_subcommand program; and __fish_seen_subcommand_from help" -f -a "session" -d 'For systemd, in the unit of a session, which is on standard input'
complete -c websockify -n "__fish_websockify_using_subcommand program; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c websockify -n "__fish_websockify_using_subcommand replay" -l speed -d 'So many times as fast as it was; 0 or max: as fast as the browser takes it' -r
complete -c websockify -n "__fish_websockify_using_subcommand replay" -l hold -d 'Keep the session open for so many seconds after the last word, or a time such as 2m, so that the last picture can be looked at' -r
complete -c websockify -n "__fish_websockify_using_subcommand replay" -l web -d 'Serve the files of DIR on the same port, such as noVNC\'s' -r -F
complete -c websockify -n "__fish_websockify_using_subcommand replay" -l summary -d 'Tell what is in it, and serve nothing'
complete -c websockify -n "__fish_websockify_using_subcommand replay" -s h -l help -d 'Print help'
complete -c websockify -n "__fish_websockify_using_subcommand demo" -s h -l help -d 'Print help'
complete -c websockify -n "__fish_websockify_using_subcommand help; and not __fish_seen_subcommand_from serve check convert generate grant program replay demo help" -f -a "serve" -d 'Run the routes of a directory'
complete -c websockify -n "__fish_websockify_using_subcommand help; and not __fish_seen_subcommand_from serve check convert generate grant program replay demo help" -f -a "check" -d 'Tell what is wrong with routes, and what would be right'
complete -c websockify -n "__fish_websockify_using_subcommand help; and not __fish_seen_subcommand_from serve check convert generate grant program replay demo help" -f -a "convert" -d 'Print the TOML that says the same as a classic command line'
complete -c websockify -n "__fish_websockify_using_subcommand help; and not __fish_seen_subcommand_from serve check convert generate grant program replay demo help" -f -a "generate" -d 'Write what the systemd generator makes of the routes'
complete -c websockify -n "__fish_websockify_using_subcommand help; and not __fish_seen_subcommand_from serve check convert generate grant program replay demo help" -f -a "grant" -d 'Have a running route make a token, and print the URL that opens a session by it'
complete -c websockify -n "__fish_websockify_using_subcommand help; and not __fish_seen_subcommand_from serve check convert generate grant program replay demo help" -f -a "program" -d 'Start or stop the program of a route, as a unit of systemd'
complete -c websockify -n "__fish_websockify_using_subcommand help; and not __fish_seen_subcommand_from serve check convert generate grant program replay demo help" -f -a "replay" -d 'Serve a recording to browsers, as if it were the target'
complete -c websockify -n "__fish_websockify_using_subcommand help; and not __fish_seen_subcommand_from serve check convert generate grant program replay demo help" -f -a "demo" -d 'Serve a built-in page that talks to a built-in target'
complete -c websockify -n "__fish_websockify_using_subcommand help; and not __fish_seen_subcommand_from serve check convert generate grant program replay demo help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c websockify -n "__fish_websockify_using_subcommand help; and __fish_seen_subcommand_from program" -f -a "start" -d 'Start the program, and wait until it runs'
complete -c websockify -n "__fish_websockify_using_subcommand help; and __fish_seen_subcommand_from program" -f -a "stop" -d 'Stop the program, and wait until it has ended'
complete -c websockify -n "__fish_websockify_using_subcommand help; and __fish_seen_subcommand_from program" -f -a "place" -d 'For systemd, before each start of the program'
complete -c websockify -n "__fish_websockify_using_subcommand help; and __fish_seen_subcommand_from program" -f -a "ended" -d 'For systemd, after each end of the program'
complete -c websockify -n "__fish_websockify_using_subcommand help; and __fish_seen_subcommand_from program" -f -a "session" -d 'For systemd, in the unit of a session, which is on standard input'
