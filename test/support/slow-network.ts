/**
 * A slow way to a peer: a relay that takes little at a time. Its receive buffer is small, so that the sender's kernel
 * sees bytes leave bit by bit, as over a narrow line; Node cannot set that of a TCP socket, Perl can (Debian always has it).
 */
import { existsSync } from 'node:fs';
import { startChild } from './child.ts';

const PERL = '/usr/bin/perl';
export const hasSlowNetwork = existsSync(PERL);

const RELAY = String.raw`
use strict; use Socket; $| = 1;
my ($target, $bytes, $pause) = @ARGV;
socket(my $listener, PF_INET, SOCK_STREAM, 0) or die $!;
setsockopt($listener, SOL_SOCKET, SO_RCVBUF, pack('i', 32768)) or die $!;
bind($listener, pack_sockaddr_in(0, inet_aton('127.0.0.1'))) or die $!;
listen($listener, 1) or die $!;
my ($port) = unpack_sockaddr_in(getsockname($listener));
print "relay on $port\n";
accept(my $client, $listener) or die $!;
socket(my $server, PF_INET, SOCK_STREAM, 0) or die $!;
connect($server, pack_sockaddr_in($target, inet_aton('127.0.0.1'))) or die $!;
while (1) {
  my $bits = '';
  vec($bits, fileno($_), 1) = 1 for ($client, $server);
  select($bits, undef, undef, undef);
  for my $way ([$client, $server], [$server, $client]) {
    my ($from, $to) = @$way;
    next unless vec($bits, fileno($from), 1);
    my $got = sysread($from, my $piece, $bytes);
    exit 0 unless $got;
    select(undef, undef, undef, $pause) if $from == $client;
    for (my $at = 0; $at < $got;) { my $put = syswrite($to, $piece, $got - $at, $at); exit 0 unless $put; $at += $put; }
  }
}`;

/** For one connection. @param rate bytes a second, about */
export async function startSlowNetwork(
  target: number,
  rate: number,
): Promise<{ port: number; stop(): Promise<void> }> {
  const piece = 16_384;
  const child = await startChild({
    command: PERL,
    args: ['-e', RELAY, String(target), String(piece), String(piece / rate)],
    ready: (output) => /relay on \d+\n/.test(output),
  });
  return { port: Number(/relay on (\d+)/.exec(child.output())![1]), stop: () => child.stop(0) };
}
