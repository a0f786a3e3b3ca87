//! What messages are made of and become, and what may cross threads.
#![cfg(feature = "bytes")]

use std::borrow::Cow;
use std::collections::HashSet;

use bytes::Bytes;
use ws_core::message::{MessageRef, NotText};
use ws_core::{Config, Connection, Message, MessageKind, PreparedMessage, Text};

#[test]
fn messages_are_made_of_what_people_have() {
    let (string, vec) = (String::from("abc"), vec![1_u8, 2]);
    let (text, shared) = (Text::from("abc"), Bytes::from_static(&[1, 2]));
    let texts: [Message; 10] = [
        "abc".into(),
        (&string).into(),
        string.clone().into(),
        (&text).into(),
        text.clone().into(),
        string.clone().into_boxed_str().into(),
        Cow::Borrowed("abc").into(),
        Cow::<str>::Owned(string.clone()).into(),
        Message::text("abc"),
        Message::text(Text::from_static("abc")),
    ];
    for message in texts {
        assert_eq!((message.kind(), message.as_text()), (MessageKind::Text, Some("abc")));
        assert_eq!(Message::from(&message), message);
    }
    let binaries: [Message; 12] = [
        [1, 2].into(),
        (&[1, 2]).into(),
        (&vec[..]).into(),
        (&vec).into(),
        vec.clone().into(),
        (&shared).into(),
        shared.clone().into(),
        vec.clone().into_boxed_slice().into(),
        Cow::Borrowed(&vec[..]).into(),
        Cow::<[u8]>::Owned(vec.clone()).into(),
        Message::binary("\x01\x02"),
        Message::binary(vec.clone()),
    ];
    for message in binaries {
        assert_eq!((message.kind(), message.as_bytes()), (MessageKind::Binary, &[1, 2][..]));
    }
    let lent: [MessageRef<'_>; 3] = ["abc".into(), (&string).into(), (&text).into()];
    assert!(lent.iter().all(|message| *message == MessageRef::Text("abc")));
    let lent: [MessageRef<'_>; 4] =
        [b"\x01\x02".into(), (&vec[..]).into(), (&vec).into(), (&shared).into()];
    assert!(lent.iter().all(|message| *message == MessageRef::Binary(&[1, 2])));
    assert_eq!((lent[0].len(), lent[0].is_empty()), (2, false));
    assert_eq!((MessageRef::from("").len(), MessageRef::from("").is_empty()), (0, true));
}

#[test]
fn messages_become_what_people_want() {
    let (text, binary) = (Message::from("é"), Message::from([0xff, 0]));
    assert_eq!(Vec::from(text.clone()), "é".as_bytes());
    assert_eq!(Bytes::from(binary.clone()), [0xff, 0][..]);
    assert_eq!(String::try_from(text.clone()), Ok("é".into()));
    assert_eq!(Text::try_from(text.clone()), Ok(Text::from("é")));
    assert_eq!(text.into_text(), Ok(Text::from("é")));
    let payload = Bytes::from_static(&[0xff, 0]);
    assert_eq!(String::try_from(binary.clone()), Err(NotText(payload.clone())));
    assert_eq!(binary.clone().into_text(), Err(NotText(payload.clone())));
    let error = Text::try_from(binary).unwrap_err();
    assert_eq!(error.to_string(), "binary message where text was asked for (RFC 6455 §5.6)");
    assert_eq!(error.0, payload);
}

#[test]
fn text_is_compared_with_strings() {
    let (text, string) = (Text::from(&String::from("abc")), String::from("abc"));
    assert!(text == *"abc" && text == "abc" && text == string);
    assert!(*"abc" == text && "abc" == text && string == text);
    assert!(text != "abd" && *"abd" != text);
    assert_eq!(text.to_string(), "abc");
    assert_eq!(String::from(text), "abc");
}

#[test]
fn messages_are_compared_with_strings() {
    let (message, string) = (Message::from("abc"), String::from("abc"));
    assert!(message == *"abc" && message == "abc" && message == string);
    assert!(*"abc" == message && "abc" == message && string == message);
    assert_ne!(message, "abd");
    assert_ne!("abd", message);
    let lent = message.as_ref();
    assert!(lent == *"abc" && lent == "abc" && lent == string);
    assert!(*"abc" == lent && "abc" == lent && string == lent);
    let binary = Message::binary("abc");
    assert_ne!(binary, "abc");
    assert_ne!("abc", binary);
    assert_ne!(binary.as_ref(), "abc");
}

#[test]
fn messages_are_displayed() {
    assert_eq!(Message::from("é\n").to_string(), "é\n");
    assert_eq!(Message::from([1, 2]).to_string(), "binary, 2 bytes");
    assert_eq!(MessageRef::from("abc").to_string(), "abc");
}

#[test]
fn static_text_is_not_copied() {
    const TEXT: &str = "static";
    const GREETING: Text = Text::from_static(TEXT);
    assert_eq!(GREETING.as_ptr(), TEXT.as_ptr());
    assert_eq!(Message::binary(TEXT).as_bytes().as_ptr(), TEXT.as_ptr());
}

#[test]
fn values_are_compared_and_hashed() {
    let prepared = PreparedMessage::new(&Message::from("a"));
    assert_eq!(prepared.clone(), prepared);
    assert_ne!(prepared, PreparedMessage::new(&"b".into()));
    assert_eq!(HashSet::from([Config::new(), Config::new().max_frame(1)]).len(), 2);
}

/// What [`is`] says where its own answer does not apply.
#[allow(dead_code, reason = "without the feature `endpoint`, all are what is asked")]
trait Otherwise {
    const IS: bool = false;
}

impl<T> Otherwise for T {}

/// Whether a type is this, told at compile time.
macro_rules! is {
    ($type:ty: $bound:ident) => {{
        struct Probe<T>(core::marker::PhantomData<T>);
        #[allow(dead_code, reason = "it is there for those that are")]
        impl<T: $bound> Probe<T> {
            const IS: bool = true;
        }
        Probe::<$type>::IS
    }};
}

#[test]
fn all_is_send_and_all_but_random_is_sync() {
    const { assert!(is!(Message: Send) && is!(Message: Sync)) }
    const { assert!(is!(Text: Send) && is!(Text: Sync)) }
    const { assert!(is!(PreparedMessage: Send) && is!(PreparedMessage: Sync)) }
    const { assert!(is!(Connection: Send) && is!(Connection: Sync)) }
    #[cfg(feature = "endpoint")]
    {
        use ws_core::endpoint::{
            Buffers, Endpoint, Event, Inbound, Next, Options, Outbound, Output,
        };
        const { assert!(is!(Endpoint: Send) && !is!(Endpoint: Sync)) }
        const { assert!(is!(Outbound: Send) && !is!(Outbound: Sync)) }
        const { assert!(is!(Inbound: Send) && is!(Inbound: Sync)) }
        const { assert!(is!(Event: Send) && is!(Event: Sync)) }
        type Lent = Event<ws_core::message::MessageRef<'static>, &'static [u8]>;
        const { assert!(is!(Lent: Send) && is!(Lent: Sync)) }
        // An answer may be held while a driver waits, on whatever thread it goes on.
        const { assert!(is!(Next<'static>: Send) && !is!(Next<'static>: Sync)) }
        const { assert!(is!(Output: Send) && is!(Output: Sync)) }
        const { assert!(is!(Buffers: Send) && is!(Buffers: Sync)) }
        const { assert!(is!(Options: Send) && is!(Options: Sync)) }
    }
}
