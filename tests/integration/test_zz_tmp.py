import time, asyncio, pathlib
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from stream_persona.topology import topics
from tests.servers import settings_for
async def test_x(kafka, redis_server):
    for i in range(30):
        s=settings_for(kafka, redis_server.url)
        a=AIOKafkaAdminClient(bootstrap_servers=s.brokers); await a.start()
        t=time.time()
        r=await a.create_topics([NewTopic(x.name,x.partitions,1) for x in topics(s)])
        t1=time.time()-t
        n=0
        while True:
            ex=set(await a.list_topics()); n+=1
            if ex.issuperset(x.name for x in topics(s)): break
            if time.time()-t>20: break
        print(i, round(t1,3), round(time.time()-t,3), n, r.topic_errors[:1], len(ex))
        await a.close()
