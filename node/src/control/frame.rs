//! Frames on the control socket: a length, then as many bytes.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

/// Longest frame in bytes, without its length.
pub const MAX_FRAME: usize = 1 << 20;

/// Reads one frame; none at the end of the stream.
///
/// Memory grows with what arrives, not with what the length announces.
pub(super) async fn read(from: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<Vec<u8>>> {
    let length = match from.read_u32().await {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        other => other?,
    };
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    if length > MAX_FRAME {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("frame of {length} bytes exceeds {MAX_FRAME}"),
        ));
    }
    let mut frame = Vec::new();
    from.take(length as u64).read_to_end(&mut frame).await?;
    if frame.len() < length {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(Some(frame))
}

/// Writes one frame. The caller has seen to its length.
pub(super) async fn write(to: &mut (impl AsyncWrite + Unpin), content: &[u8]) -> io::Result<()> {
    let length = u32::try_from(content.len())
        .ok()
        .filter(|_| content.len() <= MAX_FRAME)
        .ok_or(io::ErrorKind::InvalidInput)?;
    let mut frame = Vec::with_capacity(4 + content.len());
    frame.extend_from_slice(&length.to_be_bytes());
    frame.extend_from_slice(content);
    to.write_all(&frame).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn frames_come_back_and_the_end_is_told() {
        let mut written = Vec::new();
        for content in [&b"one"[..], b"", b"three"] {
            write(&mut written, content).await.unwrap();
        }
        let mut from = &written[..];
        assert_eq!(read(&mut from).await.unwrap().unwrap(), b"one");
        assert_eq!(read(&mut from).await.unwrap().unwrap(), b"");
        assert_eq!(read(&mut from).await.unwrap().unwrap(), b"three");
        assert!(read(&mut from).await.unwrap().is_none());
    }

    #[tokio::test]
    async fn long_and_cut_frames_are_refused() {
        let mut long = &0xffff_ffff_u32.to_be_bytes()[..];
        assert_eq!(
            read(&mut long).await.unwrap_err().kind(),
            io::ErrorKind::InvalidData
        );
        let mut cut = &b"\0\0\0\x05abcd"[..];
        assert_eq!(
            read(&mut cut).await.unwrap_err().kind(),
            io::ErrorKind::UnexpectedEof
        );
        let mut out = Vec::new();
        write(&mut out, &vec![0; MAX_FRAME + 1]).await.unwrap_err();
        assert!(out.is_empty());
    }
}
