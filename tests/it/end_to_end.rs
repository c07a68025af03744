//! From `kubectl apply` to removed.

use tests::demo::{Story, Teller};

#[tokio::test(flavor = "multi_thread")]
async fn smoke() {
    let stage = Story::Deployment.stage().await.unwrap();
    Story::Deployment.tell(&stage, &Teller::new(std::io::stdout(), false)).await.unwrap();
}
