//! Listening on vsock: who calls is said by the kernel, and can't be pretended.

use std::sync::Arc;
use std::time::Duration;

use tokio_vsock::{VMADDR_CID_ANY, VsockAddr, VsockListener};

use super::http::{Caller, Desk};

/// How often it is tried again where vsock is not there.
const TRY_EVERY: Duration = Duration::from_secs(60);

/// Listens for ever. Without vsock on this host nothing is listened on; the module may be loaded later.
pub(super) async fn listen(port: u32, desk: Arc<Desk>) {
    let mut said = false;
    loop {
        match VsockListener::bind(VsockAddr::new(VMADDR_CID_ANY, port)) {
            Ok(listener) => {
                tracing::info!(port, "guests are served their events over vsock");
                accept(&listener, &desk).await;
            }
            Err(error) if !said => {
                tracing::warn!(port, "guests can't be served their events over vsock: {error}; trying on");
                said = true;
            }
            Err(_) => {}
        }
        tokio::time::sleep(TRY_EVERY).await;
    }
}

async fn accept(listener: &VsockListener, desk: &Arc<Desk>) {
    loop {
        match listener.accept().await {
            Ok((stream, from)) => {
                tokio::spawn(Arc::clone(desk).serve(stream, Caller::Vsock { cid: from.cid() }));
            }
            // Out of descriptors, or the caller has gone already.
            Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
}
