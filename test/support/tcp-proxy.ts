/**
 * A TCP proxy that can be cut: in front of Postgres, it is the network or the server going away and coming back.
 * Its URL is a DATABASE_URL; the target may be a Unix socket.
 */
import net from 'node:net';

export interface TcpProxy {
  readonly port: number;
  /** Ends all connections and takes no new ones. */
  cut(): Promise<void>;
  /** Connections stay and new ones are taken, but no byte passes any more: the server hangs, or the way to it. */
  hang(): void;
  /** Back at the same port. */
  mend(): Promise<void>;
  stop(): Promise<void>;
}

export async function startTcpProxy(target: net.NetConnectOpts): Promise<TcpProxy> {
  const sockets = new Set<net.Socket>();
  let port = 0;
  let server: net.Server | undefined;
  let hangs = false;
  const open = async (): Promise<void> => {
    const listening = net.createServer((client) => {
      const onward = net.connect(target);
      for (const [socket, other] of [
        [client, onward],
        [onward, client],
      ] as const) {
        sockets.add(socket);
        socket.on('error', () => socket.destroy());
        socket.on('close', () => {
          sockets.delete(socket);
          other.destroy();
        });
        if (!hangs) socket.pipe(other);
      }
    });
    await new Promise<void>((resolve, reject) => {
      listening.once('error', reject);
      listening.listen(port, '127.0.0.1', () => resolve());
    });
    port = (listening.address() as net.AddressInfo).port;
    server = listening;
  };
  const cut = async (): Promise<void> => {
    const closing = server;
    server = undefined;
    hangs = false;
    const closed = closing && new Promise((resolve) => closing.close(resolve));
    for (const socket of sockets) socket.destroy();
    await closed;
  };
  await open();
  return {
    get port() {
      return port;
    },
    cut,
    hang() {
      hangs = true;
      for (const socket of sockets) socket.unpipe().pause();
    },
    async mend() {
      if (!hangs) return open();
      // What hung is not taken up again: its clients have given it up, or see it end now.
      await cut();
      await open();
    },
    stop: cut,
  };
}
