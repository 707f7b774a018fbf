from darkroom_contract.specs.generate_job import GenerateJobSpec
import time
def test_try(pod):
    spec = GenerateJobSpec.from_dict({"prompt": "a dog", "images": {"steps": 2, "seed": 3}})
    t=time.monotonic()
    uid = pod.start(spec)
    a = pod.outcome(uid)
    print("first", time.monotonic()-t)
    for i in range(5):
        t=time.monotonic()
        b = pod.carry_out(spec)
        print("next", time.monotonic()-t)
    pod.run.process.terminate()
    t=time.monotonic()
    print(pod.run.process.wait(5), time.monotonic()-t)
    print(pod.log)
    print(a.files, b.files, pod.message)
    assert 0
