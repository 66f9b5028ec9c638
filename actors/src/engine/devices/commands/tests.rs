//! What holds for the words of a command.

use super::*;

#[test]
fn the_id_of_a_message_goes_along_and_everything_else_stays_as_it_is() {
    let args = Bytes::from_static(b" { \"to\":\"c\", \"n\":1.0}");
    assert_eq!(
        with_id(&args, "msg_1"),
        Bytes::from_static(b"{\"id\":\"msg_1\",\"to\":\"c\", \"n\":1.0}")
    );
    let empty = Bytes::from_static(b"{ }");
    assert_eq!(
        with_id(&empty, "msg_1"),
        Bytes::from_static(b"{\"id\":\"msg_1\"}")
    );
}
