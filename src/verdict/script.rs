//! Letters that are written in several ways: as the vocabulary writes them.

use std::sync::LazyLock;

/// Full-width digits, typographers' apostrophes and China's older characters as most write them. Japan's are its own.
pub(super) fn plainly(text: &str) -> impl Fn(char) -> char {
    let is_japanese = text.chars().any(|letter| ('\u{3040}'..'\u{3100}').contains(&letter));
    move |letter| match letter {
        '０'..='９' => {
            char::from_u32(u32::from(letter) - u32::from('０') + u32::from('0')).unwrap_or(letter)
        }
        '’' => '\'',
        '\u{4e00}'..='\u{9fff}' if !is_japanese => simplified(letter),
        letter => letter,
    }
}

/// Traditional characters and the simplified ones of the words that the rules know, side by side.
#[rustfmt::skip]
const PAIRS: &str = "無无額额餘余馀余請请於于頻频過过後后試试帳帐號号戶户賬账鑰钥權权錯错誤误訂订閱阅費费儲储續续購购買买凍冻結结鎖锁銷销刪删廢废換换關关閉闭發发現现檢检測测認认證证憑凭據据驗验別别識识碼码應应響响務务網网絡络線线斷断開开連连時时間间鐘钟總总計计數数庫库處处負负載载擁拥擠挤滿满達达極极級级會会員员組组織织團团隊队項项個个該该這这們们對对種种類类內内審审違违規规則则風风險险觸触詞词訊讯圖图檔档視视聲声說说語语話话傳传輸输參参體体長长區区國国訪访問问鏈链節节點点積积預预單单還还償偿幣币錢钱幾几來来沒没為为從从與与並并將将須须實实業业專专標标準准備备確确導导損损壞坏當当暫暂態态狀状運运維维護护異异復复終终啟启動动擊击轉转離离壓压縮缩簽签約约協协議议條条範范圍围執执寫写讀读讓让設设屬属歸归層层僅仅雲云優优週周歷历產产衝冲裡里臺台灣湾給给絕绝綁绑統统編编練练聯联變变輪轮辦办選选遲迟郵邮釋释鑑鉴門门陣阵際际難难電电頁页順顺領领題题顯显驅驱齊齐滯滞嚴严夠够擇择擔担擴扩攔拦敗败樣样機机櫃柜殘残毀毁決决況况洩泄減减濫滥營营獲获盡尽監监穩稳競竞筆笔簡简細细紀纪經经繫系罰罚職职脫脱臨临舊旧補补裝装製制觀观記记許许訴诉診诊詳详調调譯译財财責责貨货貼贴賣卖質质軟软較较輕轻輯辑進进適适邊边針针鈕钮銀银錄录鍵键閘闸隨随雙双雜杂頓顿頭头願愿館馆駁驳騙骗驟骤瀏浏覽览稱称繼继註注衛卫鏡镜隱隐閒闲圓圆塊块寬宽蹤踪諒谅謂谓倉仓價价";
const FIRST: u32 = 0x4e00;

fn simplified(letter: char) -> char {
    static TABLE: LazyLock<Vec<u16>> = LazyLock::new(|| {
        let mut table = vec![0; 0xa000 - 0x4e00];
        let mut letters = PAIRS.chars();
        while let (Some(from), Some(to)) = (letters.next(), letters.next()) {
            let place = usize::try_from(u32::from(from) - FIRST).ok().and_then(|at| table.get_mut(at));
            if let (Some(place), Ok(to)) = (place, u16::try_from(u32::from(to))) {
                *place = to;
            }
        }
        table
    });
    let at = usize::try_from(u32::from(letter).wrapping_sub(FIRST)).unwrap_or(usize::MAX);
    let other = TABLE.get(at).copied().filter(|other| *other != 0);
    other.and_then(|other| char::from_u32(other.into())).unwrap_or(letter)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_are_told_apart_by_the_script_that_they_stand_in() {
        for (written, want) in [
            ("金鑰無效，請於 ３ 秒後再試", "金钥无效，请于 3 秒后再试"),
            ("APIキーが無効です", "APIキーが無効です"),
            ("can’t", "can't"),
        ] {
            assert_eq!(written.chars().map(plainly(written)).collect::<String>(), want);
        }
    }

    #[test]
    fn no_character_is_another_twice() {
        let letters: Vec<char> = PAIRS.chars().collect();
        for pair in letters.chunks(2) {
            assert!(pair[0] > '\u{4e00}' && simplified(pair[0]) == pair[1], "{pair:?}");
            assert_eq!(simplified(pair[1]), pair[1], "{pair:?}");
        }
    }
}
