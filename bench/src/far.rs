//! The processes at the far end of a measurement: the service, and the plain forwarder that is the baseline.
//!
//! Both print the address they listen on as their first line and run until they are killed. Both copy from and to page-aligned buffers.

use crate::aligned::Aligned;
use crate::blocks::{self, Hello, Mode};
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread;

/// Buffer of the plain forwarder in bytes, a direction.
const FORWARD_BUFFER: usize = 64 * 1024;

/// Listens on a free loopback port, prints it, and runs `each` for every connection in a thread of its own.
fn accept(each: impl Fn(TcpStream) -> io::Result<()> + Clone + Send + 'static) -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    println!("{}", listener.local_addr()?);
    for connection in listener.incoming().flatten() {
        let each = each.clone();
        // A connection that ends badly is the near end's finding; when no thread can be had it is dropped and seen there.
        let _ = thread::Builder::new()
            .stack_size(256 * 1024)
            .spawn(move || each(connection));
    }
    Ok(())
}

/// The service behind every tunnel: does what each connection's hello asks for.
pub(crate) fn serve() -> io::Result<()> {
    accept(|mut stream| {
        stream.set_nodelay(true)?;
        let hello = Hello::read(&mut stream)?;
        match hello.mode {
            Mode::Up => {
                let received = blocks::receive(&mut stream)?;
                stream.write_all(&received.to_be_bytes())
            }
            Mode::Down => blocks::send(&mut stream, hello.duration).map(drop),
            Mode::Echo => {
                let len = usize::try_from(hello.block_len).map_err(io::Error::other)?;
                let mut message = Aligned::new(len, 0);
                loop {
                    stream.read_exact(&mut message)?;
                    stream.write_all(&message)?;
                }
            }
        }
    })
}

/// A plain TCP forwarder to `target`: two threads a connection, 64 KiB buffers, half-close passed on. What any tunnel in
/// user space must do at least, and nothing else.
pub(crate) fn forward(target: SocketAddr) -> io::Result<()> {
    accept(move |near| {
        let far = TcpStream::connect(target)?;
        near.set_nodelay(true)?;
        far.set_nodelay(true)?;
        let (near_too, far_too) = (near.try_clone()?, far.try_clone()?);
        let back = thread::Builder::new()
            .stack_size(256 * 1024)
            .spawn(move || copy(far_too, near_too))?;
        copy(near, far);
        back.join()
            .map_err(|_| io::Error::other("a forwarding thread panicked"))
    })
}

fn copy(mut from: TcpStream, mut to: TcpStream) {
    let mut buffer = Aligned::new(FORWARD_BUFFER, 0);
    while let Ok(n) = from.read(&mut buffer) {
        if n == 0 || to.write_all(&buffer[..n]).is_err() {
            break;
        }
    }
    // Either may be gone already.
    let _ = to.shutdown(Shutdown::Write);
    let _ = from.shutdown(Shutdown::Read);
}
