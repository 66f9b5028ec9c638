//! Targets that misbehave, on the connection, in TLS and in their answer.

use super::*;

#[tokio::test]
async fn a_target_that_hangs_times_out() {
    let result = result_of(Behaviour::StopAfter(""), SCANT).await;
    assert_eq!(result, Err(PostError::Timeout));
}

#[tokio::test]
async fn a_head_that_stops_in_the_middle_times_out() {
    let result = result_of(Behaviour::StopAfter("HTTP/1.1 200 OK\r\nx-"), SCANT).await;
    assert_eq!(result, Err(PostError::Timeout));
}

#[tokio::test]
async fn a_body_that_drips_ends_at_the_deadline() {
    let result = result_of(Behaviour::Drip, SCANT).await;
    assert_eq!(result, Err(PostError::Timeout));
}

#[tokio::test]
async fn an_endless_body_is_cut_and_its_connection_dropped() {
    let mut target = FakeTarget::start(Behaviour::Endless).await;
    let client = client();
    let answer = client
        .post(post_to(target.url(), AMPLE))
        .await
        .result
        .unwrap();
    assert_eq!(answer.status, 200);
    assert_eq!(answer.body, "x".repeat(1024));
    target.connection_closed().await;
}

#[tokio::test]
async fn a_broken_connection_is_a_reset() {
    let half = "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf";
    for behaviour in [
        Behaviour::Reset,
        Behaviour::CloseAfter(""),
        Behaviour::CloseAfter(half),
        Behaviour::CloseAfter("SSH-2.0-OpenSSH_9.9\r\n"),
    ] {
        let result = result_of(behaviour, AMPLE).await;
        assert!(
            matches!(result, Err(PostError::Reset(_))),
            "{behaviour:?}: {result:?}"
        );
    }
}

#[tokio::test]
async fn a_port_where_nobody_listens_is_a_failed_connection() {
    let free = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let url = format!("http://{free}/").parse().unwrap();
    let result = client().post(post_to(url, AMPLE)).await.result;
    assert!(matches!(result, Err(PostError::Connect(_))), "{result:?}");
}

#[tokio::test]
async fn a_connection_that_is_not_answered_in_time_is_a_failed_connection() {
    // The listener answers nothing at the TLS level, and that counts as connecting.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://{}/", silent.local_addr().unwrap());
    let mut options = options();
    options.connect_timeout = SCANT;
    let client = WebhookClient::new(options).unwrap();
    let result = client
        .post(post_to(url.parse().unwrap(), AMPLE))
        .await
        .result;
    assert!(matches!(result, Err(PostError::Connect(_))), "{result:?}");
}

#[actix_web::test]
async fn a_certificate_is_trusted_for_its_name_from_its_authority_alone() {
    let (port, server) = echo(true);
    let post = |host: &str| {
        let url = format!("https://{host}:{port}/hook").parse().unwrap();
        post_to(url, AMPLE)
    };
    let trusting = client_that_trusts_the_fixture();
    assert_eq!(
        trusting
            .post(post("target.test"))
            .await
            .result
            .unwrap()
            .status,
        200
    );
    assert_eq!(
        trusting
            .post(post("127.0.0.1"))
            .await
            .result
            .unwrap()
            .status,
        200
    );
    let wrong_name = trusting.post(post("other.test")).await.result;
    assert!(
        matches!(wrong_name, Err(PostError::Tls(_))),
        "{wrong_name:?}"
    );
    let unknown_authority = client().post(post("127.0.0.1")).await.result;
    assert!(
        matches!(unknown_authority, Err(PostError::Tls(_))),
        "{unknown_authority:?}"
    );
    server.stop(false).await;
}

#[actix_web::test]
async fn a_target_that_does_not_speak_tls_is_a_failed_session() {
    let (port, server) = echo(false);
    let url = format!("https://127.0.0.1:{port}/hook").parse().unwrap();
    let result = client().post(post_to(url, AMPLE)).await.result;
    assert!(matches!(result, Err(PostError::Tls(_))), "{result:?}");
    server.stop(false).await;
}

#[test]
fn a_root_that_is_no_certificate_stops_the_start() {
    let error = tls::config(vec![CertificateDer::from(vec![1, 2, 3])]).unwrap_err();
    assert!(
        matches!(error, ClientError::Root { number: 1, .. }),
        "{error:?}"
    );
}
