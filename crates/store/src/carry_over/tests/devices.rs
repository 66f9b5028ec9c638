//! Devices come along: their fences, what their connectors keep, their messages. Who held them does not.

use std::path::Path;

use bytes::Bytes;
use domain::{
    device::{DeviceState, MessageStep},
    fence::Fence,
    ids::DeviceId,
    plan::PlanName,
    region::Region,
    seal::{MasterKey, TenantKey},
    time::Timestamp,
};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};
use uuid::Uuid;

use crate::{
    PostgresOptions,
    carry_over::{CarryOver, Outcome},
    control::{Control, Device, Holder, NewDevice, NewTenant, NewWorkspace},
    log::{
        Credentials, Message, MessageOutcome, MessageQuery, RegionLog, Write,
        conformance::{
            author::{Author, commit_one, device, tenant, workspace},
            messages::{appended, key, mark, outcome, outgoing},
        },
        postgres::PostgresLog,
        sqlite::SqliteLog,
    },
};

const NOW: Timestamp = Timestamp::from_micros(1_800_000_000_000_000);

/// A database on the server of the tests.
pub(super) struct Database {
    server: String,
    name: String,
}

impl Database {
    pub(super) async fn make() -> Database {
        let server = std::env::var("TRUNKLINE_TEST_POSTGRES").expect(
            "TRUNKLINE_TEST_POSTGRES names no server: run ./test.sh, which starts one for the tests",
        );
        let name = format!("carried_{}", Uuid::now_v7().simple());
        let database = Database { server, name };
        database.tell("CREATE DATABASE", "").await;
        database
    }

    pub(super) fn options(&self) -> PostgresOptions {
        let (address, _) = self.server.rsplit_once('/').unwrap();
        PostgresOptions::new(format!("{address}/{}", self.name))
    }

    pub(super) async fn tell(&self, what: &str, how: &str) {
        let mut server = PgConnection::connect(&self.server).await.unwrap();
        let sql = format!("{what} {} {how}", self.name);
        server.execute(AssertSqlSafe(sql)).await.unwrap();
        server.close().await.unwrap();
    }
}

/// Everything that a log says of the device.
#[derive(Debug, PartialEq)]
struct Kept {
    fence: Fence,
    credentials: Option<Credentials>,
    messages: Vec<Message>,
}

async fn look(log: &dyn RegionLog, device: DeviceId) -> Kept {
    let query = MessageQuery {
        device,
        before: None,
        after: None,
        chat: None,
        direction: None,
        state: None,
        limit: 100,
        scan_max: 100,
    };
    Kept {
        fence: log.device_fence(tenant(1), device).await.unwrap(),
        credentials: log.credentials(tenant(1), device).await.unwrap(),
        messages: log.messages(tenant(1), &query).await.unwrap().messages,
    }
}

/// Makes an installation with one device, which is connected when its process dies.
pub(super) async fn set_up(control: &Control, master_key: &MasterKey) -> Device {
    let new_tenant = NewTenant {
        id: tenant(1),
        name: "Acme".to_owned(),
        slug: "acme".to_owned(),
        plan: PlanName::Growth,
        region: Region::Au,
        replicate_to: Vec::new(),
        wrapped_key: master_key.wrap(&TenantKey::generate(), tenant(1)),
        created_at: NOW,
    };
    let new_workspace = NewWorkspace {
        id: workspace(1),
        slug: "default".to_owned(),
        name: "Default".to_owned(),
        retention_days: None,
        created_at: NOW,
    };
    let made = control.create_tenant(new_tenant, new_workspace, None).await;
    made.unwrap();
    let new_device = NewDevice {
        id: device(1),
        tenant: tenant(1),
        workspace: workspace(1),
        name: "phone".to_owned(),
        connector: "gateway".to_owned(),
        settings: "{}".to_owned(),
    };
    let made = control.create_device(&new_device, Some(9), NOW).await;
    made.unwrap();
    open(control, "first").await;
    assert_eq!(open(control, "second").await, Fence::new(2));
    let is_set = control.set_device_state(
        tenant(1),
        device(1),
        Fence::new(2),
        DeviceState::Connected,
        None,
        None,
        NOW,
    );
    assert!(is_set.await.unwrap());
    let device = control.device(tenant(1), device(1)).await;
    device.unwrap().unwrap()
}

async fn open(control: &Control, boot: &str) -> Fence {
    let holder = Holder {
        session: None,
        node: "embedded".to_owned(),
        boot: boot.to_owned(),
    };
    let opened = control
        .open_device_session(tenant(1), device(1), &holder, Some("g/1"), NOW)
        .await;
    opened.unwrap().unwrap().fence
}

async fn fill(folder: &Path) -> Kept {
    let log = SqliteLog::open(folder, Region::Au).await.unwrap();
    let parts = [
        Write::OpenDevice {
            tenant: tenant(1),
            device: device(1),
            fence: Fence::new(2),
        },
        Write::Credentials {
            tenant: tenant(1),
            device: device(1),
            credentials: Credentials {
                fence: Fence::new(2),
                sealed: Bytes::from_static(b"\0sealed\xff"),
                at: NOW,
            },
        },
        outgoing(1, device(1), 1),
        outgoing(1, device(1), 2),
        outcome(device(1), 1, MessageOutcome::Sent(Some(key("", "net"))), 3),
    ];
    for part in parts {
        commit_one(&log, part).await;
    }
    let mut author = Author::new(1);
    for (position, id) in [(1, "m"), (2, "net"), (3, "m")] {
        let sender = if id == "m" { "ann" } else { "" };
        let step = [
            MessageStep::Received,
            MessageStep::Read,
            MessageStep::Updated,
        ];
        let step = step[usize::try_from(position).unwrap() - 1];
        let mark = mark(device(1), key(sender, id), step, position);
        commit_one(&log, appended(&mut author, vec![mark])).await;
    }
    let kept = look(&log, device(1)).await;
    log.close().await;
    kept
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn devices_go_on_as_the_same_ones_and_nobody_holds_them() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("control.db");
    let master_key = MasterKey::generate();
    let control = Control::open(&format!("sqlite:{}", file.display()))
        .await
        .unwrap();
    let before = set_up(&control, &master_key).await;
    control.close().await;
    let kept = fill(folder.path()).await;
    assert_eq!(kept.messages.len(), 3);

    let database = Database::make().await;
    let options = database.options();
    let carry_over = CarryOver {
        folder: folder.path(),
        control: &file,
        target: &options,
        master_key: &master_key,
        watch: &|_| {},
    };
    let outcome = carry_over.run().await.unwrap();
    let Outcome::Carried(carried) = outcome else {
        panic!("{outcome:?}");
    };
    assert_eq!(
        carried.regions[0].rows, 5,
        "a fence, credentials, three messages"
    );

    let log = PostgresLog::open(&options, Region::Au).await.unwrap();
    assert_eq!(look(&log, device(1)).await, kept);
    log.close().await;
    let control = Control::open_postgres(&options).await.unwrap();
    let expected = Device {
        node: None,
        is_live: false,
        ..before
    };
    let found = control.device(tenant(1), device(1)).await.unwrap();
    assert_eq!(found, Some(expected));
    assert_eq!(open(&control, "third").await, Fence::new(3));
    control.close().await;
    database.tell("DROP DATABASE", "WITH (FORCE)").await;
}
