//! As much of HTTP/2 (RFC 9113) as it takes to open requests and leave them open.

use tokio::io::{AsyncWrite, AsyncWriteExt as _};

use crate::apiserver::webhook::service_name;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const WINDOW_UPDATE: u8 = 8;
const END_HEADERS: u8 = 4;

/// Opens requests of which each sends 64 KiB, the window that a stream has at the start.
///
/// # Errors
/// The connection ends.
pub(super) async fn open_requests(stream: &mut (impl AsyncWrite + Unpin), streams: u32) -> std::io::Result<()> {
    stream.write_all(PREFACE).await?;
    stream.write_all(&frame(SETTINGS, 0, 0, &[])).await?;
    stream.write_all(&frame(WINDOW_UPDATE, 0, 0, &[0, 0x10, 0, 0])).await?;
    for number in 0..streams {
        let id = 2 * number + 1;
        stream.write_all(&frame(HEADERS, END_HEADERS, id, &request())).await?;
        for _ in 0..3 {
            stream.write_all(&frame(DATA, 0, id, &[b' '; 16 * 1024])).await?;
        }
    }
    stream.flush().await
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap_or_default().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// The fields of a request, each as a literal that is not indexed (RFC 7541, 6.2.2).
fn request() -> Vec<u8> {
    let name = service_name();
    let fields = [
        (":method", "POST"),
        (":scheme", "https"),
        (":path", "/mutate?timeout=30s"),
        (":authority", &name),
        ("content-type", "application/json"),
    ];
    let text = |text: &str| [&[u8::try_from(text.len()).unwrap_or_default()], text.as_bytes()].concat();
    fields
        .iter()
        .flat_map(|(name, value)| [vec![0], text(name), text(value)].concat())
        .collect()
}
