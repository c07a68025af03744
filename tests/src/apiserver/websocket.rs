//! Forwarded ports and commands in containers, over WebSocket: the subprotocol `v4.channel.k8s.io` (each message begins with the
//! number of its channel; `k8s.io/apimachinery` `pkg/util/remotecommand`, `k8s.io/kubelet` `pkg/cri/streaming/portforward`).

use std::net::SocketAddr;

use azure_emulators::http::{Answer, Reply, Request, Upgraded};
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::json;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;

use super::operator::Ran;
use super::reads::status;

const PROTOCOL: &str = "v4.channel.k8s.io";
const STDOUT: u8 = 1;
const STATUS: u8 = 3;

/// Connects a forwarded port with an address.
pub(super) fn forward(request: &Request, port: u16, to: SocketAddr) -> Answer {
    upgrade(request, move |socket| relay(socket, port, to))
}

/// Prints what a command prints, and ends as it ends.
pub(super) fn run(request: &Request, ran: Ran) -> Answer {
    upgrade(request, move |socket| print(socket, ran))
}

fn upgrade<S, F>(request: &Request, speak: S) -> Answer
where
    S: FnOnce(Socket) -> F + Send + 'static,
    F: Future<Output = ()> + Send + 'static,
{
    let offered = request.header("sec-websocket-protocol").unwrap_or_default();
    let is_offered = offered.split(',').any(|one| one.trim() == PROTOCOL);
    let Some(key) = request.header("sec-websocket-key").filter(|_| is_offered) else {
        return status(
            400,
            "BadRequest",
            "unable to upgrade: no WebSocket request of a known subprotocol",
        )
        .into();
    };
    let reply = Reply::empty(101)
        .with("upgrade", "websocket")
        .with("connection", "Upgrade")
        .with("sec-websocket-accept", derive_accept_key(key.as_bytes()))
        .with("sec-websocket-protocol", PROTOCOL);
    let speak = Upgraded::new(move |connection| async move {
        let connection: Box<dyn Connection> = Box::new(connection);
        speak(WebSocketStream::from_raw_socket(connection, Role::Server, None).await).await;
    });
    Answer::Upgrade(reply, speak)
}

/// An upgraded connection.
trait Connection: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Connection for T {}

type Socket = WebSocketStream<Box<dyn Connection>>;

fn message(channel: u8, content: &[u8]) -> Message {
    Message::binary([&[channel], content].concat())
}

async fn print(mut socket: Socket, ran: Ran) {
    let ended = if ran.code == 0 {
        json!({"metadata": {}, "status": "Success"})
    } else {
        json!({"metadata": {}, "status": "Failure", "reason": "NonZeroExitCode",
            "message": format!("command terminated with non-zero exit code: error executing command, exit code {}", ran.code),
            "details": {"causes": [{"reason": "ExitCode", "message": ran.code.to_string()}]}})
    };
    // How the client ends its connection is no concern of ours.
    let _ = socket.send(message(STDOUT, ran.stdout.as_bytes())).await;
    let _ = socket.send(message(STATUS, ended.to_string().as_bytes())).await;
    let _ = socket.close(None).await;
}

/// Channel 0 is data, channel 1 errors; the first message of each names the port.
async fn relay(mut socket: Socket, port: u16, to: SocketAddr) {
    for channel in [0, 1] {
        if socket.send(message(channel, &port.to_le_bytes())).await.is_err() {
            return;
        }
    }
    let mut pod = match TcpStream::connect(to).await {
        Ok(pod) => pod,
        Err(error) => {
            let _ = socket.send(message(1, error.to_string().as_bytes())).await;
            let _ = socket.close(None).await;
            return;
        }
    };
    let mut buffer = vec![0; 16 * 1024];
    loop {
        tokio::select! {
            read = pod.read(&mut buffer) => match read {
                Ok(length) if length > 0 => {
                    if socket.send(message(0, &buffer[..length])).await.is_err() {
                        return;
                    }
                }
                Ok(_) | Err(_) => {
                    let _ = socket.close(None).await;
                    return;
                }
            },
            next = socket.next() => match next {
                Some(Ok(Message::Binary(bytes))) if bytes.first() == Some(&0) => {
                    if pod.write_all(&bytes[1..]).await.is_err() {
                        return;
                    }
                }
                Some(Ok(Message::Close(_)) | Err(_)) | None => return,
                Some(Ok(_)) => {}
            },
        }
    }
}
