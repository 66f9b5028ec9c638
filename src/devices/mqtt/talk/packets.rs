//! What each packet of a device does, and what it is answered.

use bytes::BytesMut;
use domain::device::{CommandResult, frame::ToGateway};
use mqtt_protocol_core::mqtt::{packet::Qos, result_code::SubackReasonCode};
use tokio::time::Instant;

use super::{Talk, UNREAD_BYTES_MAX};
use crate::devices::{
    intake,
    mqtt::{
        flow::Arrived,
        frame::Frame,
        message,
        over::Over,
        packet::{self, Filter, Packet, Publish, Sureness},
        refused,
        topics::{COMMANDS, Topic},
        turns::{Outcome, Turn},
    },
};

impl Talk {
    /// Does what a packet says.
    pub(super) fn take(&mut self, frame: &Frame, outbox: &mut BytesMut) -> Result<(), Over> {
        self.heard_at = Instant::now();
        self.engine.seen(&self.session);
        match packet::read(frame, self.answers.version)? {
            Packet::Publish(publish) => self.publish(&publish, outbox)?,
            Packet::Puback(id) => {
                // One that was not expected changes nothing.
                self.leaving.acknowledged(id);
            }
            Packet::Pubrel(id) => {
                let is_known = self.arriving.released(id);
                outbox.extend_from_slice(&self.answers.pubcomp(id, is_known));
            }
            Packet::Subscribe { id, filters } => {
                let granted: Vec<_> = filters
                    .iter()
                    .map(|filter| self.subscribe(filter))
                    .collect();
                let text = if granted.iter().any(Result::is_err) {
                    "a device subscribes to `commands` and to nothing else"
                } else {
                    ""
                };
                outbox.extend_from_slice(&self.answers.suback(id, &granted, text));
            }
            Packet::Unsubscribe { id, filters } => {
                let was_there = filters.iter().map(|topics| {
                    let was_there = &**topics == COMMANDS && self.subscribed.is_some();
                    if was_there {
                        self.subscribed = None;
                    }
                    was_there
                });
                let were_there: Vec<bool> = was_there.collect();
                outbox.extend_from_slice(&self.answers.unsuback(id, &were_there));
            }
            Packet::Ping => outbox.extend_from_slice(&self.answers.pong()),
            Packet::Disconnect { with_will: false } => return Err(Over::Goodbye),
            Packet::Disconnect { with_will: true } => {
                return Err(Over::Lost("it left with its will".to_owned()));
            }
        }
        Ok(())
    }

    fn publish(&mut self, publish: &Publish, outbox: &mut BytesMut) -> Result<(), Over> {
        let topic = self.aliases.resolve(publish)?;
        match publish.sureness {
            Sureness::Unanswered => {}
            Sureness::Puback(_) => self.arriving.at_least_once()?,
            Sureness::Pubrec(id) => match self.arriving.exactly_once(id)? {
                Arrived::New => {}
                Arrived::OnItsWay => return Ok(()),
                Arrived::Durable => {
                    outbox.extend_from_slice(&self.answers.pubrec(id));
                    return Ok(());
                }
            },
        }
        let turn = self.turns.enter(publish.sureness);
        let refusal = match Topic::named(&topic) {
            Some(Topic::Event(kind)) => {
                match message::event(kind, &publish.payload, &publish.properties) {
                    Ok(event) => {
                        self.intake.push(turn, event);
                        return Ok(());
                    }
                    Err(refusal) => refusal,
                }
            }
            Some(Topic::Results) => match message::result(&publish.payload) {
                Ok(result) => {
                    self.hand_over(turn, result);
                    return Ok(());
                }
                Err(refusal) => refusal,
            },
            None => {
                self.turns.settle(turn, Outcome::Foreign);
                return self.answer(outbox);
            }
        };
        let outcome = Outcome::Refused {
            code: refusal.code,
            message: refusal.message,
        };
        self.turns.settle(turn, outcome);
        self.answer(outbox)
    }

    fn hand_over(&mut self, turn: Turn, result: CommandResult) {
        let (engine, session) = (self.engine.clone(), self.session.clone());
        let handing = Box::pin(intake::hand_over(engine, session, result));
        self.handing = Some((turn, handing));
    }

    /// Answers the publishes whose turn it is.
    pub(super) fn answer(&mut self, outbox: &mut BytesMut) -> Result<(), Over> {
        while let Some((sureness, outcome)) = self.turns.next() {
            match (sureness, outcome) {
                (Sureness::Unanswered, Outcome::Done) => {}
                (Sureness::Puback(id), Outcome::Done) => {
                    self.arriving.acknowledged();
                    outbox.extend_from_slice(&self.answers.puback(id));
                }
                (Sureness::Pubrec(id), Outcome::Done) => {
                    self.arriving.received(id);
                    outbox.extend_from_slice(&self.answers.pubrec(id));
                }
                (sureness, outcome @ (Outcome::Foreign | Outcome::Refused { .. })) => {
                    if let Sureness::Pubrec(id) = sureness {
                        self.arriving.refused(id);
                    } else if let Sureness::Puback(_) = sureness {
                        self.arriving.acknowledged();
                    }
                    if let Some(words) = refused::answer(self.answers, sureness, &outcome)? {
                        outbox.extend_from_slice(&words);
                    }
                }
            }
        }
        Ok(())
    }

    fn subscribe(&mut self, filter: &Filter) -> Result<Qos, SubackReasonCode> {
        let topics = &*filter.topics;
        if topics == COMMANDS {
            // A command has an id: what comes twice is known, and needs no third and fourth packet.
            let qos = match filter.qos {
                Qos::AtMostOnce => Qos::AtMostOnce,
                Qos::AtLeastOnce | Qos::ExactlyOnce => Qos::AtLeastOnce,
            };
            self.subscribed = Some(qos);
            return Ok(qos);
        }
        Err(if topics.starts_with("$share/") {
            SubackReasonCode::SharedSubscriptionsNotSupported
        } else if topics.contains(['#', '+']) {
            SubackReasonCode::WildcardSubscriptionsNotSupported
        } else {
            SubackReasonCode::NotAuthorized
        })
    }

    /// Publishes the commands that wait, as far as the device takes them.
    pub(super) fn send_commands(&mut self, outbox: &mut BytesMut) {
        let Some(qos) = self.subscribed else {
            return;
        };
        let now = self.engine.clock().now();
        while outbox.len() <= UNREAD_BYTES_MAX {
            let acknowledges = qos != Qos::AtMostOnce;
            let Some((command, id)) = self.leaving.next(acknowledges, now) else {
                return;
            };
            let name = command.name;
            let payload = ToGateway::Command(command).write();
            match self.answers.publish(COMMANDS, id, &payload) {
                Some(words) => outbox.extend_from_slice(&words),
                None => {
                    if let Some(id) = id {
                        self.leaving.acknowledged(id);
                    }
                    tracing::warn!(device.id = %self.session.device, "a command {name} has more bytes than its device takes in a packet");
                }
            }
        }
    }
}
