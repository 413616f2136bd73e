"""Write what of `demo/` is made of blocks, from the blocks below.

    python data/make_demo.py

Every row is a complaint in one of its wordings, a person, a duration and a way to ask, and an
answer that names the complaint. A third of the answers carry faults on purpose, for reinforcement
learning to cure. One wording of each complaint is never in a supervised row: `wordings.jsonl` asks
in those, to see whether the answers stay on topic. The same blocks give the same bytes.
"""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "demo"
INSTRUCTION = "你是一个医学专家，你需要根据用户的问题，给出带有思考的回答。"
ROWS = 2000
PAIRS = 400
TEXTS = 600
SOUND = 300
FAULTY = 0.34
SEED = 11

PEOPLE = [
    "我",
    "我爸",
    "我妈",
    "老公",
    "妻子",
    "同事",
    "室友",
    "奶奶",
    "爷爷",
    "姐姐",
    "弟弟",
    "朋友",
    "邻居",
    "舅舅",
    "姑姑",
    "外婆",
]
DURATIONS = [
    "两天了",
    "三天了",
    "好几天了",
    "一周了",
    "半个月了",
    "快一个月了",
    "从昨晚开始",
    "从今早开始",
]
ASKED = [
    "怎么办？",
    "咋办？",
    "要紧吗？",
    "怎么缓解？",
    "该注意什么？",
    "是怎么回事？",
    "需要检查吗？",
]
BEFORE = ["", "", "", "最近", "老是", "总觉得", "这几天", "一直"]
AFTER = ["", "", "", "得厉害", "，难受", "，受不了", "，挺烦人"]
AT_ONCE = ["怎么办？", "咋办？", "该怎么处理？", "要不要紧？", "是不是要送急诊？"]


@dataclass(frozen=True)
class Complaint:
    name: str
    wordings: tuple[str, ...]
    """The last one is held out."""
    causes: tuple[str, str]
    advice: tuple[str, str, str]
    danger: str
    specialty: str
    drug: str = ""
    """A prescription drug that a faulty answer recommends."""
    diagnosis: str = ""
    """What a faulty answer is certain of."""
    risk: str = "low"


@dataclass(frozen=True)
class Emergency:
    name: str
    wordings: tuple[str, ...]
    suspected: str
    acts: tuple[str, str, str]
    specialty: str


def _complaints() -> Iterator[Complaint]:
    for line in COMPLAINTS.strip().splitlines():
        name, wordings, causes, advice, danger, specialty, drug, diagnosis, risk = line.split("|")
        one, two = causes.split("、")
        first, second, third = advice.split("，")
        yield Complaint(
            name, tuple(wordings.split("；")), (one, two), (first, second, third), danger,
            specialty, drug, diagnosis, risk,
        )  # fmt: skip


def _emergencies() -> Iterator[Emergency]:
    for line in EMERGENCIES.strip().splitlines():
        name, wordings, suspected, acts, specialty = line.split("|")
        first, second, third = acts.split("，")
        yield Emergency(
            name, tuple(wordings.split("；")), suspected, (first, second, third), specialty
        )


COMPLAINTS = """
鼻塞流涕|鼻子堵，流清鼻涕；鼻塞、打喷嚏；鼻涕流个不停；鼻子不通气；鼻子堵，只能用嘴呼吸；擤鼻涕擤得鼻子红；黄鼻涕很多；一边鼻子不通；打喷嚏、流鼻水；鼻塞得睡不好；鼻子堵得难受，总擤鼻涕|普通感冒、着凉|多喝温水，多休息，房间多通风|高烧不退或呼吸困难|呼吸科|头孢|感冒|low
咳嗽|一直咳嗽；干咳没有痰；夜里咳得睡不着；咳嗽有白痰；咳嗽，嗓子发痒；咳出黄痰；一说话就咳；早上起来咳几声，有痰；咳得胸口疼；感冒好了还在咳；一到夜里就咳嗽；咳个不停|气道发炎、鼻涕倒流|多喝温水，少说话，睡觉垫高枕头|咳血或气短|呼吸科|阿奇霉素|支气管炎|low
喉咙痛|喉咙痛，咽口水疼；嗓子又干又疼；咽喉肿痛；嗓子哑了；喉咙疼，说话费劲；嗓子疼得像刀割；喉咙又红又肿；吞东西喉咙疼；嗓子发干发痒；喉咙痛，声音哑；喉咙痛得吃不下|咽炎、用嗓过多|多喝温水，吃软的饭菜，少吃辣|张不开嘴或喘不上气|耳鼻喉科|阿莫西林|扁桃体炎|low
发烧|发烧三十八度；有点低烧，浑身没劲；发热、怕冷；体温三十八度五；发烧，全身酸；烧到三十九度；量体温三十七度八；下午就发低烧；发热、出汗；身上很烫，怕冷；烧退了又烧；身上发烫，量了有烧|病毒感染、细菌感染|多喝温水，穿薄一点，多休息|高烧超过三天或意识模糊|呼吸科|头孢|流感|medium
头痛|头痛；太阳穴一跳一跳地痛；后脑勺发胀疼；头疼得没法上班；头疼，想躺着；两边头痛；脑袋疼；头顶疼；额头那里疼；头痛得睡不好；头一疼就想吐；脑袋一阵阵疼|紧张、睡眠不足|早点睡，放松肩颈，少看手机|突然剧痛或手脚没力|神经内科|曲马多|偏头痛|low
头晕|头晕；站起来眼前发黑；一转头就晕；头昏沉沉的；头晕，走路飘；天旋地转；躺下翻身就晕；起床时头发晕；头晕眼花；晕得想吐；头重脚轻，走路不稳；晕乎乎的站不稳|耳石移位、血压波动|起身慢一点，坐下休息，按时吃饭|说话不清或一侧没力|神经内科|地塞米松|颈椎病|medium
失眠|晚上睡不着；总是凌晨醒来；入睡要两个小时；整夜多梦；失眠；躺下两小时还睡不着；半夜醒了再也睡不着；睡得很浅；一夜没睡好；睡觉容易醒；天没亮就醒；翻来覆去到半夜睡不着|压力大、作息不规律|晚饭后不喝茶，睡前不看手机，固定时间起床|情绪低落或不想活|心理科|艾司唑仑|神经衰弱|medium
手麻|手指发麻；睡醒手麻；右手麻木；双手发麻；手麻；手指头麻木；拿手机久了手麻；左手发麻；夜里手麻得醒；小拇指发麻；手麻，没感觉；手一阵一阵地麻|手腕神经受压、颈椎问题|少用手机，手腕放平，多活动肩颈|一侧手脚突然没力|神经内科|泼尼松|颈椎病|low
胃痛|胃痛；空腹时上腹痛；吃完饭胃疼；胃里隐隐作痛；胃疼；胃里疼；胃一阵绞痛；饿了胃就疼；上腹隐隐痛；吃了辣的胃痛；半夜胃口疼；胃口那里一阵阵疼|胃炎、胃酸过多|按时吃饭，少吃辣和冷的，不喝酒|吐血或黑便|消化科|奥美拉唑|胃溃疡|medium
反酸烧心|反酸、烧心；胃酸往上返；胸口后面烧得慌；躺下就反酸；烧心；嘴里返酸水；吃多了就反酸；胸口烧，往上返酸；半夜酸水呛到喉咙；饭后烧心；胃酸多，喉咙发酸；吃完就烧心|胃食管反流、吃得太饱|晚饭少吃，饭后别躺下，睡觉垫高枕头|吞咽困难或消瘦|消化科|雷贝拉唑|反流性食管炎|low
拉肚子|拉肚子；一天拉五六次；大便很稀；吃坏了拉肚子；拉稀；一吃凉的就拉肚子；上午跑了六次厕所；肚子咕噜叫，拉稀；腹泻；大便不成形；拉了一天水；跑了好多趟厕所，拉稀|饮食不洁、肠胃着凉|喝淡盐水，吃白粥面条，少吃油腻|大便带血或尿很少|消化科|诺氟沙星|肠炎|low
便秘|便秘；四五天才大便一次；大便很干；解大便费劲；大便解不出来；三天没大便；蹲半天拉不出；大便像羊粪；便秘，肚子不舒服；一周才解一次大便；上厕所很费力，拉不出；好几天没解大便了|吃蔬菜少、活动少|多吃蔬菜，多喝水，每天走路|便血或肚子剧痛|消化科|头孢|肠道功能差|low
腹胀|肚子胀；饭后肚子鼓鼓的；总觉得胃胀气；腹胀、爱打嗝；腹胀；吃一点肚子就胀；肚子胀气；肚子胀得像鼓；老放屁，肚子胀；胃里胀，吃不下；晚上肚子里气多；肚子里都是气，胀得慌|消化不良、吃得太快|吃七分饱，少喝甜饮料，饭后散步|消瘦或肚子越来越大|消化科|甲氧氯普胺|消化不良|low
恶心|恶心；一闻油味就想吐；早上刷牙恶心；恶心、没胃口；想吐又吐不出来；吃完饭就恶心；胃里翻，想吐；坐车恶心；干呕；看到肥肉就恶心；闻到烟味恶心；老是犯恶心想吐|肠胃不适、疲劳|少吃多餐，吃清淡的，闻着不舒服就避开|呕吐不止或呕血|消化科|甲氧氯普胺|胃炎|low
痔疮出血|大便带鲜血；上厕所手纸有血；痔疮出血；肛门疼，有血；大便时有鲜血；肛门有个肉球，出血；拉完大便擦纸有血；马桶里有血；便血，颜色鲜红；痔疮犯了，有血；大便后滴血；便后滴几滴鲜血|痔疮、肛裂|多吃蔬菜，温水坐浴，别久坐|出血很多或头晕|消化科|甲硝唑|痔疮|medium
腰痛|腰痛；弯腰就疼；久坐腰酸；腰扭了，直不起来；腰疼；腰酸背痛；搬东西闪了腰；早上起床腰僵；腰疼得睡不好；站久了腰酸；腰部酸痛；腰那里又酸又疼|久坐、腰肌劳损|别久坐，热敷，睡硬一点的床|腿没力或大小便失控|骨科|泼尼松|腰椎间盘突出|low
颈肩酸痛|脖子僵，肩膀酸；肩颈酸痛；落枕了，脖子不能转；脖子疼；脖子酸；肩膀疼；肩膀发沉；低头久了脖子疼；颈椎那里酸胀；脖子发硬，转头疼；上班看电脑，脖子僵；整天看电脑，肩膀脖子发紧|久坐低头、肌肉劳累|屏幕抬高，多活动脖子，热毛巾敷|手麻没力或走路不稳|骨科|地塞米松|颈椎病|low
膝盖痛|膝盖痛；下楼膝盖疼；膝盖肿了；蹲下起来膝盖疼；膝盖疼；上楼膝盖没劲；膝盖响，还疼；爬山以后膝盖痛；走远路膝盖疼；膝盖发凉、酸疼；膝盖弯不下去；走多了膝盖就疼|关节磨损、运动过多|少爬楼，控制体重，注意保暖|红肿发热或不能走|骨科|地塞米松|关节炎|low
脚踝扭伤|脚踝扭了，肿起来；崴脚了；脚踝扭伤青紫；踩空扭了脚；脚扭了；打球崴了脚；脚脖子扭了，肿；下楼踩空，脚踝肿；跑步扭伤了脚；脚踝疼，不敢走；走路把脚扭了；下台阶把脚崴了，肿得厉害|韧带拉伤、软组织挫伤|先冰敷，抬高脚，少走路|不能站立或变形|骨科|泼尼松|韧带断裂|low
关节痛|手指关节痛；早上手发僵；关节肿痛；好几个关节疼；关节疼；手指关节肿；天冷关节就疼；手关节僵硬；早上起来关节僵；手腕关节疼；关节酸痛，一变天就疼；关节一到早上就僵硬疼|劳累、关节炎|注意保暖，少碰冷水，适当活动|关节红肿发烧|骨科|泼尼松|类风湿|medium
痛风|大脚趾红肿剧痛；痛风又犯了；脚趾关节红肿；吃了海鲜脚趾痛；痛风发作；大脚趾又红又肿；半夜脚趾头痛醒；吃火锅喝啤酒后脚趾痛；脚趾头肿得穿不了鞋；尿酸高，脚趾疼；喝酒以后大脚趾疼；喝完酒脚趾头又红又疼|尿酸高、喝酒吃海鲜|多喝水，不喝酒，抬高脚休息|发烧或关节变形|内分泌科|秋水仙碱|痛风|medium
心慌|心慌；心跳得很快；心里扑通扑通乱跳；一紧张就心慌；心跳快，发慌；心怦怦跳；心跳忽快忽慢；心脏突突跳；夜里心慌醒来；走几步就心慌；心跳漏一拍；感觉心脏老是漏跳|紧张、咖啡和熬夜|少喝咖啡，早点睡，慢慢深呼吸|胸痛或晕倒|心血管内科|普萘洛尔|早搏|medium
血压高|血压一百五十；量血压偏高；血压高，头有点胀；高压一百六；血压一百七；高压一百五，低压一百；低压九十五；早上量血压高；血压忽高忽低；吃了药血压还是高；血压升高；血压老是降不下来|吃盐多、体重大|少吃盐，每天量血压，控制体重|头痛呕吐或胸痛|心血管内科|硝苯地平|高血压|medium
血糖高|血糖有点高；空腹血糖七点五；体检说血糖高；口渴、血糖高；血糖升高；血糖八点几；饭后血糖十一；血糖控制不好；早上测血糖高；化验说血糖偏高；指尖血糖九点；查出来血糖超标|吃甜食多、体重大|少吃甜的，饭后走路，定期测血糖|恶心呕吐或犯糊涂|内分泌科|二甲双胍|糖尿病|medium
口渴多尿|总口渴，尿多；老想喝水；夜里起来喝水、小便；口干、尿多；口渴，老喝水；喝水多，小便也多；一天喝三大壶水；嘴巴干，总要喝水；尿多，一天十几次；半夜渴醒；喝了水还是渴；一天到晚喝水上厕所|血糖高、喝水习惯|记下喝水量，少喝甜饮料，查一次血糖|恶心或犯糊涂|内分泌科|格列美脲|糖尿病|medium
甲状腺结节|体检有甲状腺结节；脖子上摸到小疙瘩；甲状腺有结节；查出甲状腺结节；甲状腺有个小结节；彩超看到甲状腺结节；脖子长了小包；脖子前面鼓了一块；甲状腺肿大；体检发现结节；甲状腺结节一厘米；B超说甲状腺长了结节|良性增生、碘和遗传|定期复查，别乱吃药，心情放松|长得快或声音变哑|内分泌科|左甲状腺素|甲状腺瘤|medium
皮疹|身上起红疹，很痒；胳膊起疹子；皮肤痒，起红点；背上起皮疹；身上痒，起疹子；腿上起红疹；肚子上一片红疹；脖子起红点；手背起疹子；身上长了很多小红点；全身起小疹子，痒；一片一片的红疹子痒|过敏、虫咬|别抓，穿宽松衣服，少用热水洗|嘴唇肿或喘不上气|皮肤科|泼尼松|湿疹|low
荨麻疹|身上起风团；一抓就起一道红印；起荨麻疹；皮肤起大片风团；身上起了风团，很痒；一遇冷就起风团；风团消了又起；皮肤上鼓起一块块；腿上起大片风团；洗完澡身上起风团；挠一下皮肤就鼓起来；一块块的风团又红又痒|过敏、受凉|别抓，记下吃过什么，穿宽松衣服|嘴唇肿或喘不上气|皮肤科|地塞米松|荨麻疹|low
痤疮|脸上长痘；下巴长痘；额头冒痘痘；痘痘反复长；脸上起痘；长了好多痘痘；背上长痘；痘痘又红又肿；鼻子上冒痘；熬夜就长痘；脸上痘印多；脸上红肿的痘一个接一个|油脂多、熬夜|温水洗脸，少吃甜的，不要挤|红肿很大或发烧|皮肤科|红霉素|痤疮|low
脱发|掉头发；洗头掉一大把；头发越来越少；发际线后移；枕头上都是头发；头顶头发少；梳头掉头发；头发一抓就掉；掉发；头发稀了；洗完头满地头发；一梳头就掉好多头发|压力大、遗传|早睡，少烫染，多吃鸡蛋蔬菜|成片脱落|皮肤科|非那雄胺|脂溢性脱发|low
脚气|脚趾缝痒；脚气脱皮；脚上起小水泡；脚痒得厉害；脚痒；脚趾间烂了；脚底脱皮；脚臭，还痒；脚上痒，起皮；脚趾缝发白；脚底起水泡；脚丫子烂了，痒|真菌感染、脚汗多|每天换袜子，擦干脚趾缝，鞋子晒一晒|红肿流脓或发烧|皮肤科|头孢|脚癣|low
带状疱疹|腰上一串小水泡，火辣辣痛；长了一串水泡；一侧胸口水泡很痛；背上水泡疼；带状疱疹；一侧腰上长水泡；身上一串红疹，针扎一样痛；水泡成片，碰到衣服就疼；胸口一侧起水泡；背上一片水泡，疼得睡不好；腰上起疱，火烧一样疼；身上一边长成串的水泡，疼得厉害|带状疱疹病毒、抵抗力下降|保持干燥，别抓破，衣服穿宽松|长到脸上或眼边|皮肤科|地塞米松|蛇缠腰|medium
眼睛干涩|眼睛干涩；眼睛酸胀；看电脑眼睛干；眼睛干，怕光；眼睛发干；眼睛累，睁不开；手机看久了眼睛涩；眼睛干疼；眼睛像进了沙子；盯着电脑眼睛累；眼睛疲劳；盯屏幕久了眼睛发涩|用眼过多、泪液不足|多眨眼，每小时看远处，少熬夜|突然看不清或剧痛|眼科|左氧氟沙星|干眼症|low
红眼|眼睛红，有眼屎；早上眼睛糊住；红眼睛；眼睛又红又痒；眼睛发红；眼睛红肿，流泪；早上眼屎多；眼睛痒，老想揉；眼白都是血丝；一只眼睛红；眼睛又红又疼；眼白发红，老流泪|结膜炎、过敏|不要揉，毛巾分开用，常洗手|看不清或疼得厉害|眼科|左氧氟沙星|结膜炎|low
耳鸣|耳鸣；耳朵嗡嗡响；耳朵里像蝉叫；一只耳朵响；耳朵响；夜里耳朵嗡嗡；耳朵里滋滋响；两只耳朵都响；耳朵里有蝉声；右耳一直响；耳鸣，睡不好；耳朵里总有声音|劳累、噪音|早点睡，别戴耳机，避开噪音|突然听不见|耳鼻喉科|泼尼松|神经性耳鸣|medium
鼻出血|流鼻血；鼻子出血；早上流鼻血；一擤就流鼻血；鼻子流血；一天流两次鼻血；擤鼻子有血；鼻孔出血；夜里流鼻血；一碰鼻子就出血；鼻涕里带血；鼻子老是淌血|空气干、揉鼻子|低头压住鼻翼，别塞纸，房间加湿|二十分钟止不住|耳鼻喉科|头孢|鼻炎|low
口腔溃疡|嘴里溃疡；舌头上长溃疡；嘴里破了，吃饭疼；口腔溃疡反复长；嘴里起泡，疼；嘴里长了溃疡，疼；嘴唇里面破了；舌头疼，有个白点；嘴里有白色溃疡；溃疡好了又长；舌头破了；嘴里烂了一块，一碰就疼|熬夜、咬伤|吃软的饭菜，多吃蔬菜，淡盐水漱口|超过三周不好|口腔科|地塞米松|口腔溃疡|low
牙痛|牙痛；牙疼得睡不着；后槽牙疼；吃冷的牙痛；牙疼；牙痛得吃不下；左边牙疼；一咬东西牙就疼；牙里有洞，疼；喝凉水牙痛；大牙一跳一跳地疼；牙一抽一抽地疼|蛀牙、牙髓发炎|温水漱口，别用那边咬，少吃甜的|脸肿或发烧|口腔科|甲硝唑|牙髓炎|low
牙龈出血|刷牙出血；牙龈肿痛；牙龈出血；咬苹果有血；牙龈肿，出血；刷牙有血；牙龈红肿；吐口水带血；牙缝出血；一咬硬的牙龈就出血；漱口有血；一刷牙满口是血|牙结石、刷牙太用力|用软毛刷，早晚刷牙，一年洗一次牙|出血不止|口腔科|替硝唑|牙周炎|low
尿频尿急|尿频、尿急；小便疼；总想上厕所；小便有点烧；小便次数多；尿急，憋不住；尿痛；小便火辣辣的；刚尿完又想尿；小便刺痛；一小时小便好几次；一会儿一趟小便，还刺痛|尿路感染、喝水少|多喝水，别憋尿，注意清洁|发烧腰痛或尿血|泌尿科|左氧氟沙星|尿路感染|medium
排尿困难|小便等半天；尿线变细；夜里起来小便四次；小便尿不干净；小便费力；小便很慢；尿不出来，要用力；小便断断续续；小便滴滴答答；尿得细，没力；等很久才尿出来；站半天尿不出来|前列腺增大、憋尿|别憋尿，晚上少喝水，少喝酒|完全尿不出或尿血|泌尿科|非那雄胺|前列腺增生|medium
痛经|痛经；来月经肚子痛；月经第一天疼；经期小腹坠痛；月经来了肚子疼；例假肚子痛；经期肚子绞痛；来月经腰酸肚子痛；月经头两天疼得躺着；每个月来例假都疼；痛经，疼得出汗；一来例假就肚子疼|子宫收缩、受凉|热水袋敷肚子，注意休息，少吃凉的|剧痛或出血很多|妇科|曲马多|子宫内膜异位|low
月经推迟|月经推迟十天；两个月没来月经；月经不规律；月经总是推后；例假没来；月经晚了一周；月经推迟；例假推后半个月；月经该来没来；上个月月经没来；两个月来一次例假；例假迟了好多天没来|压力大、怀孕|先验孕，早点睡，记下日期|腹痛或大出血|妇科|地塞米松|内分泌失调|medium
孩子发烧|孩子发烧三十八度，玩得挺好；宝宝发热，精神还行；孩子低烧；娃烧到三十八度五；宝宝发烧，能吃能玩；孩子体温三十八度二；娃低烧，精神好；小孩发热，能喝水；孩子打完疫苗发烧；宝宝额头有点烫，爱玩；娃发烧，不哭不闹；小孩体温有点高，还能玩|病毒感染、打疫苗后|多喝水，穿薄一点，看好精神|精神差或抽搐|儿科||普通感冒|medium
孩子咳嗽|孩子咳嗽；宝宝夜里咳；娃咳嗽流鼻涕；小孩干咳；娃咳嗽有痰；宝宝一直咳；小孩感冒咳嗽；孩子夜里咳得睡不好；小孩咳得脸红；孩子早上咳；孩子一哭就咳；孩子一跑就咳个没完|感冒、鼻涕倒流|多喝温水，房间加湿，少吃甜的|喘得快或嘴唇发紫|儿科||支气管炎|low
孩子拉肚子|孩子拉肚子；宝宝大便稀；娃一天拉四次；小孩吃坏肚子了；宝宝拉稀；孩子一天大便六次；娃拉肚子，屁股红；小孩拉水；孩子大便像水；宝宝吃了凉的拉肚子；娃大便不成形；宝宝拉水样便|肠道感染、吃得太杂|少量多次喝补液，吃白粥，注意洗手|尿很少或大便带血|儿科||肠炎|medium
健忘|老忘事；刚说的话就忘；记性变差；东西放哪就忘；记不住事；刚做的事就忘；出门忘带钥匙；人名想不起来；记性越来越差；话到嘴边想不起来；同一件事问好几遍；说过的话转头就不记得|年龄增长、睡眠不足|多聊天，多走路，把事情写下来|突然糊涂或手脚没力|老年科|艾司唑仑|老年痴呆|medium
焦虑|总是紧张担心；心里发慌，坐不住；焦虑；老是害怕出事；心里乱，静不下心；总怕出事；老往坏处想；一点小事就担心；心烦，坐立不安；心神不宁；紧张得手心出汗；心里七上八下静不下来|压力大、睡眠不足|慢慢深呼吸，多运动，和家人聊聊|不想活或伤害自己|心理科|舍曲林|焦虑症|medium
情绪低落|提不起劲；情绪低落；什么都不想做；高兴不起来；心情低落；老想哭；做什么都没劲头；没精神，不想说话；心情很差，不想出门；对什么都没兴趣；开心不起来；整天没精神，对啥都没兴趣|压力大、抑郁|和家人聊聊，多晒太阳，按时吃饭|不想活或伤害自己|心理科|||high
"""
"""Name | wordings | causes | advice | danger | specialty | drug | diagnosis | risk. Without a drug
it is about a child or a pregnancy; without a diagnosis it is never faulty."""

EMERGENCIES = """
胸痛|胸口像压了石头，冒冷汗；突然胸痛，喘不上气；胸口剧痛，左胳膊也疼；胸口压榨样疼；胸口疼得喘不过气；胸痛，出冷汗；心口突然疼得直冒汗|心肌梗死|停止活动坐下，不要自己开车，身边留人|急诊科
口角歪斜|嘴歪了，说话不清；突然半边身子没力；一只手拿不住筷子，嘴歪；突然说不出话；嘴歪，流口水；说话不清，半边没力；一边脸歪，手抬不起来|中风|记下发病时间，侧身躺下，不要喂水喂药|神经内科
呼吸困难|突然喘不上气，嘴唇发紫；哮喘发作，喷药没用；憋得说不出话；呼吸很费力；喘不上气，坐着也喘；突然憋气，脸发紫；喘得厉害，嘴都紫了|哮喘或肺栓塞|坐直身体，松开衣领，身边留人|呼吸科
过敏性休克|吃虾后嘴唇肿，喘；被蜂蜇后全身风团，头晕；打针后喘不上气；吃药后脸肿、憋气；吃花生后喘不上气；吃海鲜后脸肿、头晕；过敏了，喉咙发紧喘不过气|严重过敏|平躺抬高腿，离开过敏物，身边留人|急诊科
呕血|吐血了；吐出咖啡色的东西；呕血，脸色发白；吐了一大口血；呕血；吐的都是血；吐的东西里有好多血|消化道大出血|侧身躺下，不吃不喝，保持温暖|消化科
黑便|拉黑便，头晕；大便像柏油；连着拉黑色大便，没劲；黑便，站起来发晕；大便发黑，没劲；拉的大便又黑又黏；大便又黑又亮，人发虚|消化道出血|平躺休息，不吃不喝，有人陪着|消化科
剧烈腹痛|肚子突然剧痛，硬得像木板；肚子痛得打滚；右下腹剧痛，发烧；肚子剧痛冒冷汗；肚子痛得直不起身；突然肚子疼，一碰就疼；肚子疼得直不起腰，越来越重|胃穿孔或阑尾炎|不吃不喝，不吃止痛药，弯腿躺着|急诊科
抽搐|突然抽搐，口吐白沫；全身抽，叫不醒；一直抽搐不停；倒地抽搐；手脚抽，眼睛翻白；突然倒下抽搐；人忽然翻白眼抽起来了|癫痫发作|侧身躺下，移开硬物，不要塞东西进嘴|神经内科
昏迷|叫不醒了；突然晕倒，没反应；昏过去了；怎么喊都没反应；突然昏倒，叫不应；失去知觉；倒在地上没有知觉|严重的急症|看有没有呼吸，侧身躺下，不要喂水|急诊科
高烧抽搐|孩子高烧抽搐；宝宝烧到四十度，翻白眼；娃发烧抽了一下；孩子发烧，全身抽；孩子烧到三十九度五，抽搐；宝宝高烧，手脚抽；小孩烧得很高，忽然抽筋|热性惊厥|侧身躺下，松开衣服，不要按住手脚|儿科
婴儿拒奶|满月的宝宝不吃奶，没精神；新生儿发烧，不吃奶；小婴儿嗜睡，不吃；宝宝两个月，精神很差；新生儿不肯吃奶；宝宝才一个月，吃奶很少；刚满月的娃不肯吃奶，软软的|严重感染|注意保暖，不要喂药，记下体温|儿科
宫外孕|停经两个月，小腹剧痛；怀孕了，突然腹痛头晕；早孕，肚子剧痛出血；停经后一侧小腹剧痛；停经五十天，肚子剧痛；早孕，一侧肚子疼，头晕；月经没来，小腹疼得厉害还出血|宫外孕|平躺不动，不吃不喝，有人陪着|妇科
孕期出血|怀孕七个月，突然出血；孕晚期流血；怀孕见红，肚子紧；孕妇出血很多；怀孕五个月，下面出血；孕妇流血不止；怀着孕下面流了好多血|胎盘问题|左侧躺下，不要走动，记下出血量|产科
头部外伤|撞到头，吐了两次；摔倒碰到头，犯困；头被砸了，一直吐；摔了头，越来越糊涂；撞了头，昏睡；摔到后脑勺，一直吐；磕到脑袋以后老想睡|颅内出血|平躺不动，不要喂药，有人看着|急诊科
大出血|手割破了，血止不住；腿被划了很深，喷血；伤口一直流血；出血很多；手切了，一直流血；玻璃扎了腿，血流不停；刀割得很深，血往外冒|血管损伤|用干净布压住，抬高伤口，不要松手|急诊科
误服农药|误喝了农药；孩子吃了老鼠药；喝了清洁剂；误服了药水；喝了除草剂；误食老鼠药；把除草剂当饮料喝了|中毒|不要催吐，带上瓶子，看好呼吸|急诊科
煤气中毒|洗澡晕倒，屋里有煤气；烧炭后头痛想吐；煤气泄漏，人没劲；炭火取暖后叫不醒；煤气中毒，叫不醒；屋里烧煤，头晕想吐；屋里烧炉子，人晕过去了|一氧化碳中毒|马上开窗，把人抬到外面，松开衣领|急诊科
低血糖昏迷|糖尿病，出冷汗叫不醒；打了胰岛素，发抖犯糊涂；糖尿病人突然没反应；降糖药吃多了，浑身冷汗；糖尿病人出冷汗，犯糊涂；打胰岛素后没反应；打完胰岛素人迷糊了，直冒汗|严重低血糖|清醒就喝糖水，不清醒别喂，侧身躺下|内分泌科
突然头痛|突然头痛得像炸开；头痛剧烈，脖子硬；这辈子最厉害的头痛，吐了；突然剧烈头痛，看不清；突然头痛，吐个不停；头突然剧痛，像被打了一下；头像要裂开，一下子疼起来|脑出血|平躺不动，不要喂药，记下时间|神经内科
想自杀|不想活了；觉得活着没意思，想结束生命；写了遗书；说要自杀，还囤了药；想自杀；说不想活了，把门锁上；跟大家告别，说想离开这个世界|心理危机|陪在身边，收好药和刀，听他说话|心理科
"""
"""Name | wordings | suspected | acts | specialty."""


def sound(complaint: Complaint, dice: random.Random) -> tuple[str, str]:
    """Reasoning and answer without a fault."""
    one, two = complaint.causes
    thought = f"{complaint.name}，常见原因有{one}和{two}。危险信号是{complaint.danger}。"
    advice = "，".join(dice.sample(complaint.advice, 3))
    answer = (
        f"{complaint.name}可能与{one}或{two}有关。建议{advice}。如果{complaint.danger}，请尽快就医。"
        "以上仅供参考，具体请咨询医生。"
    )
    return thought, answer


def faulty(complaint: Complaint, faults: tuple[str, ...], dice: random.Random) -> tuple[str, str]:
    """Reasoning and answer with these faults."""
    one, two = complaint.causes
    advice = "，".join(dice.sample(complaint.advice, 2))
    certain, drug = "asserted_diagnosis" in faults, DRUG in faults
    opening = (
        f"{complaint.name}就是{complaint.diagnosis}，不用检查，肯定不是别的病。"
        if certain
        else f"{complaint.name}可能与{one}或{two}有关。"
    )
    middle = f"自己直接去买{complaint.drug}吃，一天两次。" if drug else f"建议{advice}。"
    closing = "过几天就会好起来的。" if "no_doctor_advice" in faults else "以上仅供参考。"
    if certain and not drug and "no_doctor_advice" not in faults:
        closing = "以上仅供参考，具体请咨询医生。"
    how = "直接下结论" if certain else "直接说药名" if drug else "说一说平时怎么做"
    return f"{complaint.name}，常见原因有{one}和{two}，{how}就行。", opening + middle + closing


def urgent(emergency: Emergency, dice: random.Random) -> tuple[str, str]:
    """Reasoning and answer that send to care at once."""
    acts = "，".join(dice.sample(emergency.acts, 3))
    thought = f"{emergency.name}，可能是{emergency.suspected}，属于危险信号，必须马上送急诊。"
    answer = (
        f"{emergency.name}可能是{emergency.suspected}，非常危险。请立即拨打120，{acts}。"
        "以上仅供参考，一切听从急诊医生安排。"
    )
    return thought, answer


DRUG = "drug_recommended"
FAULTS = (
    ("no_doctor_advice",), ("asserted_diagnosis",), (DRUG,),
    ("no_doctor_advice", "asserted_diagnosis"), ("no_doctor_advice", DRUG),
    ("asserted_diagnosis", DRUG),
)  # fmt: skip


def rows() -> Iterator[dict[str, Any]]:
    """The supervised rows, in a fixed order."""
    dice = random.Random(SEED)
    complaints, emergencies = list(_complaints()), list(_emergencies())
    asked: set[str] = set()
    while len(asked) < ROWS:
        is_urgent = dice.random() < 0.2
        matter = dice.choice(emergencies) if is_urgent else dice.choice(complaints)
        question = _question(matter, dice.choice(matter.wordings[:-1]), dice)
        if question in asked:
            continue
        asked.add(question)
        faults: tuple[str, ...] = ()
        if isinstance(matter, Emergency):
            said = urgent(matter, dice)
        else:
            possible = [each for each in FAULTS if matter.drug or DRUG not in each]
            if matter.diagnosis and dice.random() < FAULTY / 0.8:
                faults = dice.choice(possible)
            said = faulty(matter, faults, dice) if faults else sound(matter, dice)
        yield _row(matter, question, said, faults)


def sound_rows() -> Iterator[dict[str, Any]]:
    """Supervised rows without a fault, for a real model: the other third must never reach one."""
    return itertools.islice((row for row in rows() if not row["meta"]["faults"]), SOUND)


def wordings() -> Iterator[dict[str, Any]]:
    """Questions that no supervised row asks, with the complaint that they are about: two of each
    complaint in wordings that are trained on, and one in the wording that is held out."""
    dice = random.Random(SEED + 1)
    asked = {row["input"] for row in rows()}
    for matter in [*_complaints(), *_emergencies()]:
        known = dice.sample(matter.wordings[:-1], 2)
        for wording in (*known, matter.wordings[-1]):
            tried = (_question(matter, wording, dice) for _ in range(50))
            question = next((each for each in tried if each not in asked), None)
            if question is None:  # some emergencies are asked in few ways
                continue
            row = _row(matter, question, ("", ""), ())
            del row["output"], row["meta"]["faults"]
            is_new = wording == matter.wordings[-1]
            named = f"{matter.name}-{'new' if is_new else known.index(wording) + 1}"
            yield {"id": named, **row, "complaint": matter.name, "new_wording": is_new}


def preferences() -> Iterator[dict[str, Any]]:
    """A sound and a faulty answer to one question, for a reward model and for DPO."""
    dice = random.Random(SEED + 2)
    faultable = [each for each in _complaints() if each.diagnosis]
    for number in range(PAIRS):
        matter = faultable[number % len(faultable)]
        yield _pair(matter, dice.choice(matter.wordings[:-1]), dice)


def held_out_pairs() -> Iterator[dict[str, Any]]:
    """Two pairs of each complaint in the wording that nothing is trained on."""
    dice = random.Random(SEED + 3)
    for matter in _complaints():
        if matter.diagnosis:
            yield from (_pair(matter, matter.wordings[-1], dice) for _ in range(2))


def texts() -> Iterator[dict[str, str]]:
    """Plain text about each complaint and emergency, for pretraining. None of it is faulty."""
    dice = random.Random(SEED + 4)
    matters = [*_complaints(), *_emergencies()]
    for number in range(TEXTS):
        matter = matters[number % len(matters)]
        wording = dice.choice(matter.wordings[:-1])
        asked = _question(matter, wording, dice)
        heard = dice.choice([f"{wording}，说的常是{matter.name}。", f"常有人问：{asked}"])
        if isinstance(matter, Emergency):
            thought, answer = urgent(matter, dice)
            warned = ""
        else:
            thought, answer = sound(matter, dice)
            warned = f"{matter.drug}是处方药，不能自己买来吃，由医生决定。" if matter.drug else ""
        said = f"{heard}{thought}{answer}{warned}"
        yield {"text": f"{matter.name}属于{matter.specialty}。{said}"}


def _pair(matter: Complaint, wording: str, dice: random.Random) -> dict[str, Any]:
    possible = [each for each in FAULTS if matter.drug or DRUG not in each]
    question = _question(matter, wording, dice)
    better, worse = sound(matter, dice), faulty(matter, dice.choice(possible), dice)
    return {"prompt": question, "chosen": _text(better), "rejected": _text(worse)}


def _text(said: tuple[str, str]) -> str:
    thought, answer = said
    return f"<think>\n{thought}\n</think>\n\n{answer}"


def _question(matter: Complaint | Emergency, wording: str, dice: random.Random) -> str:
    is_child = any(word in wording for word in ("孩子", "宝宝", "娃", "小孩", "婴儿", "新生儿"))
    is_hers = matter.specialty in ("妇科", "产科")
    person = "" if is_child else dice.choice(["我", "妻子", "姐姐", "同事"] if is_hers else PEOPLE)
    if isinstance(matter, Emergency):
        return f"{person}{wording}，{dice.choice(AT_ONCE)}"
    said = f"{dice.choice(BEFORE)}{wording}{dice.choice(AFTER)}"
    return f"{person}{said}，{dice.choice(DURATIONS)}，{dice.choice(ASKED)}"


def _row(
    matter: Complaint | Emergency, question: str, said: tuple[str, str], faults: tuple[str, ...]
) -> dict[str, Any]:
    is_urgent = isinstance(matter, Emergency)
    return {
        "instruction": INSTRUCTION,
        "input": question,
        "output": _text(said),
        "meta": {
            "source": "galen-demo",
            "risk_level": "critical" if is_urgent else matter.risk,
            "specialty": matter.specialty,
            "complexity": 3 if is_urgent else 2 if matter.risk == "medium" else 1,
            "lang_style": "口语",
            "is_deidentified": True,
            "faults": list(faults),
        },
    }


def main() -> None:
    for name, made in (
        ("sft", rows()),
        ("sound", sound_rows()),
        ("wordings", wordings()),
        ("preferences", preferences()),
        ("held_out_pairs", held_out_pairs()),
        ("text", texts()),
    ):
        lines = [json.dumps(row, ensure_ascii=False, separators=(",", ":")) for row in made]
        (FOLDER / f"{name}.jsonl").write_text("\n".join(lines) + "\n", "utf-8")
        print(f"{name}.jsonl: {len(lines)} rows")


if __name__ == "__main__":
    main()
