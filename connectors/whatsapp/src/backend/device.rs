//! The account itself: who it is, and its own keys.

use async_trait::async_trait;
use whatsapp_rust::wacore::store::{Device, error::Result, traits::DeviceStore};

use super::VaultBackend;
use crate::vault::Table;

const ACCOUNT: &[u8] = b"account";
/// One vault holds one account.
const DEVICE_ID: i32 = 1;

#[async_trait]
impl DeviceStore for VaultBackend {
    async fn save(&self, device: &Device) -> Result<()> {
        self.put_as(Table::Account, ACCOUNT, device).await
    }

    async fn load(&self) -> Result<Option<Device>> {
        self.get_as(Table::Account, ACCOUNT)
    }

    async fn exists(&self) -> Result<bool> {
        Ok(self.get(Table::Account, ACCOUNT).is_some())
    }

    async fn create(&self) -> Result<i32> {
        if !self.exists().await? {
            self.save(&Device::new()).await?;
        }
        Ok(DEVICE_ID)
    }
}
