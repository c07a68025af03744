# A proxy for HTTPS (CONNECT, RFC 9110 9.3.6) that stops when it is told to, as a mesh's does.
use strict;
use warnings;
use IO::Select;
use IO::Socket::INET;

$| = 1;
$SIG{TERM} = sub { print "ended\n"; exit 0 };
$SIG{CHLD} = 'IGNORE';
my $listener = IO::Socket::INET->new(LocalAddr => '127.0.0.1', LocalPort => 3128, Listen => 50, ReuseAddr => 1) or die "listen: $!";
print "started\n";
while (1) {
    my $client = $listener->accept or next;
    next if fork;
    $SIG{TERM} = 'DEFAULT';
    my $head = '';
    while ($head !~ /\r\n\r\n/) {
        sysread($client, $head, 1, length $head) or exit;
    }
    my ($target) = $head =~ /^CONNECT (\S+) / or exit;
    my $server = IO::Socket::INET->new(PeerAddr => $target) or exit;
    print "$target\n";
    syswrite($client, "HTTP/1.1 200 Connection established\r\n\r\n");
    my $both = IO::Select->new($client, $server);
    while (1) {
        for my $from ($both->can_read) {
            sysread($from, my $bytes, 65536) or exit;
            my $to = $from == $client ? $server : $client;
            while (length $bytes) {
                my $written = syswrite($to, $bytes) or exit;
                substr($bytes, 0, $written, '');
            }
        }
    }
}
