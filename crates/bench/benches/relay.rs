//! A byte relay: what any hop must cost. `relay LISTEN UPSTREAM` copies bytes both ways on one thread.
//!
//! It is not a benchmark by itself; `serve.py` starts it beside the gateways.
#![expect(clippy::unwrap_used, reason = "a program for benchmarks")]

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let [listen, upstream] = &arguments[..] else { return };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
    runtime.block_on(async {
        let listener = TcpListener::bind(listen).await.unwrap();
        loop {
            let (mut near, _) = listener.accept().await.unwrap();
            let upstream = upstream.clone();
            tokio::spawn(async move {
                let Ok(mut far) = TcpStream::connect(upstream).await else { return };
                let _small = near.set_nodelay(true).and_then(|()| far.set_nodelay(true));
                // Either end may go at any time.
                let _ended = copy_bidirectional(&mut near, &mut far).await;
            });
        }
    });
}
